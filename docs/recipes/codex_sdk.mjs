// A thread of @openai/codex-sdk whose Codex has Armarius's tools. Run it with a question:
//   node codex_sdk.mjs "Which session needs me?"
// It needs `npm install @openai/codex-sdk` and an Armarius with the extra `mcp`.
import { Codex } from "@openai/codex-sdk";

const codex = new Codex({
  codexPathOverride: process.env.CODEX, // left out, it is the one that came with the package
  config: {
    mcp_servers: {
      armarius: {
        command: process.env.ARMARIUS ?? "armarius",
        args: ["mcp"],
        env_vars: ["ARMARIUS_HOME", "CODEX_HOME"], // Codex hands on few variables by itself
        required: true, // else the first request to the model goes out before the tools are there
        startup_timeout_sec: 30,
        tool_timeout_sec: 3600,
      },
    },
  },
});
const thread = codex.startThread({ sandboxMode: "read-only", skipGitRepoCheck: true });
const { events } = await thread.runStreamed(process.argv.slice(2).join(" "));
let answer = "";
for await (const event of events) {
  if (event.type === "item.completed" && event.item.type === "mcp_tool_call") {
    console.error("asked:", event.item.tool, event.item.status);
  }
  if (event.type === "item.completed" && event.item.type === "agent_message") answer = event.item.text;
  if (event.type === "turn.failed") throw new Error(event.error.message);
}
console.log(answer);
