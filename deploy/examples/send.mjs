#!/usr/bin/env node
// Sends each line of standard input to firstline, one by one, and prints its reply. Needs: Node.js (run with 20).
//   echo '/urgent smoke' | node send.mjs HOST [PORT]      as you would type it into nc; exit code 1: some were refused
//
// A line is kept until its reply is here, and sent again for as long as the server is away: never lost, but it may be
// there twice, if the server went away before it could say ACK. A token: TOKEN=... in the environment.
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const [host = "127.0.0.1", port = 9090] = process.argv.slice(2);
let connection, number, settle;
function connect() {
  const socket = (connection = createConnection({ host, port }));
  // No reply (handlers: 30 s of waiting, 30 s of work), or nothing to send; the next line opens a new connection.
  socket.setTimeout(75_000, () => socket.destroy());
  socket.on("error", (error) => console.error(`send.mjs: ${error.message}; trying again`));
  socket.on("close", () => socket === connection && settle?.());
  createInterface({ input: socket }).on("error", () => {}).on("line", (reply) => {
    const [, n, reason] = reply.match(/^(?:ACK|NAK|OK|ERR) (\d+) ?(\S*)/) ?? [];
    const passes = /^(shutting-down|journal-failed|print-failed|no-handler)$/.test(reason) || n === "0" || n === "1";
    if (passes) socket.destroy(new Error(reply)); // Another try may end differently.
    else if (n === String(number)) settle(reply);
  });
  socket.write(process.env.TOKEN ? `/auth ${process.env.TOKEN}\n` : "\n"); // Line 1; a blank one gets no reply.
  number = 1;
}
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "") continue;
  for (let reply; !reply; ) {
    if (!connection || connection.destroyed) connect();
    connection.write(`${line}\n`);
    number += 1;
    reply = await new Promise((resolve) => (settle = resolve));
    if (reply) console.log(reply);
    else await sleep(1000);
    if (/^(NAK|ERR)/.test(reply)) process.exitCode = 1;
  }
}
connection?.destroy();
