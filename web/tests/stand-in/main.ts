/** `npm run stand-in`: the stand-in on the port that `npm run dev` asks. */

import { standIn } from "./server";

const { url } = await standIn({ port: 8000, pauseMs: 45 });
console.log(url);
