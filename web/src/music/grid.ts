/** Time and bars: seconds to quarter notes and back, bar lines, and the grid that edited notes snap to. */

import type { Piece } from "./piece";

type Timed = Pick<Piece, "tempos" | "metres">;
const PLAIN_TEMPO = 120;
const PLAIN_METRE = [0, 4, 4] as const;
const MOST_BARS = 2000;
/** Grid steps in a quarter note: sixteenths. */
export const STEPS_PER_QUARTER = 4;

interface Stretch {
  readonly seconds: number;
  readonly quarters: number;
  readonly perQuarter: number;
}

export interface Grid {
  /** Starts of the bars in seconds, and the end of the last one. */
  readonly bars: readonly number[];
  quarterAt(seconds: number): number;
  secondsAt(quarters: number): number;
  /** The nearest grid step to a time, in seconds. */
  snap(seconds: number): number;
  /** Index from 0 of the bar that sounds at a time. */
  barAt(seconds: number): number;
}

export function makeGrid(piece: Timed, end: number): Grid {
  const stretches = tempoStretches(piece.tempos);
  const quarterAt = (seconds: number): number => {
    const at = stretches.findLast((stretch) => stretch.seconds <= seconds) ?? first(stretches);
    return at.quarters + (seconds - at.seconds) / at.perQuarter;
  };
  const secondsAt = (quarters: number): number => {
    const at = stretches.findLast((stretch) => stretch.quarters <= quarters) ?? first(stretches);
    return at.seconds + (quarters - at.quarters) * at.perQuarter;
  };
  const bars = barStarts(piece.metres, quarterAt, secondsAt, end);
  return {
    bars,
    quarterAt,
    secondsAt,
    snap: (seconds) => Math.max(0, secondsAt(Math.round(quarterAt(seconds) * STEPS_PER_QUARTER) / STEPS_PER_QUARTER)),
    barAt: (seconds) => Math.max(0, Math.min(bars.length - 2, bars.findLastIndex((start) => start <= seconds + 1e-6))),
  };
}

function first(stretches: readonly Stretch[]): Stretch {
  return stretches[0] ?? { seconds: 0, quarters: 0, perQuarter: 60 / PLAIN_TEMPO };
}

function tempoStretches(tempos: Timed["tempos"]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const [time, bpm] of tempos.length > 0 ? tempos : [[0, PLAIN_TEMPO] as const]) {
    const before = stretches.at(-1);
    const seconds = before === undefined ? 0 : time;
    const quarters = before === undefined ? 0 : before.quarters + (seconds - before.seconds) / before.perQuarter;
    stretches.push({ seconds, quarters, perQuarter: 60 / bpm });
  }
  return stretches;
}

function barStarts(
  metres: Timed["metres"],
  quarterAt: (seconds: number) => number,
  secondsAt: (quarters: number) => number,
  end: number,
): number[] {
  const starts = [0];
  let quarters = 0;
  for (let index = 0; index < MOST_BARS; index++) {
    const metre = metres.findLast(([time]) => quarterAt(time) <= quarters + 1e-6) ?? metres[0] ?? PLAIN_METRE;
    quarters += (4 * metre[1]) / metre[2];
    starts.push(secondsAt(quarters));
    if ((starts.at(-1) ?? 0) >= end - 1e-3) break;
  }
  return starts;
}
