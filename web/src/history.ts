/** Pieces, hand edits and the last prompt kept in IndexedDB; a browser without it loses only the history. */

import type { Piece, Track } from "./music/piece";

const NAME = "midi-llm-studio";
const PIECES = "pieces";
const EDITS = "edits";

export interface History {
  save(piece: Piece): void;
  saveEdit(id: string, tracks: readonly Track[] | null): void;
  forget(id: string): void;
  load(): Promise<{ pieces: Piece[]; edits: Record<string, readonly Track[]> }>;
}

export async function openHistory(): Promise<History> {
  const base = await open();
  const write = (store: string, work: (at: IDBObjectStore) => void): void => {
    if (base === null) return;
    const transaction = base.transaction(store, "readwrite");
    work(transaction.objectStore(store));
    transaction.commit(); // at once: what was written is there even if the page is closed or loaded again now
  };
  return {
    save: (piece) => write(PIECES, (at) => at.put(piece)),
    saveEdit: (id, tracks) => write(EDITS, (at) => (tracks === null ? at.delete(id) : at.put(tracks, id))),
    forget: (id) => {
      write(PIECES, (at) => at.delete(id));
      write(EDITS, (at) => at.delete(id));
    },
    load: async () => {
      if (base === null) return { pieces: [], edits: {} };
      const at = base.transaction([PIECES, EDITS]);
      const pieces = answer<Piece[]>(at.objectStore(PIECES).getAll());
      const keys = answer<IDBValidKey[]>(at.objectStore(EDITS).getAllKeys());
      const tracks = answer<Track[][]>(at.objectStore(EDITS).getAll());
      const [found, ids, edited] = await Promise.all([pieces, keys, tracks]);
      return { pieces: found, edits: Object.fromEntries(ids.map((id, index) => [String(id), edited[index] ?? []])) };
    },
  };
}

function open(): Promise<IDBDatabase | null> {
  return new Promise((resolve) => {
    if (typeof indexedDB === "undefined") return resolve(null);
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore(PIECES, { keyPath: "id" });
      asked.result.createObjectStore(EDITS);
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => resolve(null);
  });
}

function answer<T>(asked: IDBRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result as T);
    asked.onerror = () => reject(asked.error);
  });
}
