// What users of the openai SDK for Node do, against one port of the service.
//
//     node scenarios.mjs BASE_URL KEY
//
// Prints what came of each scenario, as harness.mjs says.

import { createHash, randomBytes } from "node:crypto";
import OpenAI, { toFile } from "openai";
import { apiKey, baseURL, report, schema } from "./harness.mjs";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });

const ask = (content, more = {}) => ({ model: "gpt-5.1", messages: [{ role: "user", content }], ...more });

const tool = (name, ...names) => ({ type: "function", function: { name, parameters: schema(...names) } });

/** A tool that the SDK's tool runner calls by itself. */
const runnable = (name, ...names) => ({
  type: "function",
  function: {
    name,
    description: `Tells the ${name}.`,
    parameters: schema(...names),
    parse: JSON.parse,
    function: (given) => `${name} of ${Object.keys(given).join()} is fine`,
  },
});

/** Everything that a raw stream says. */
async function heard(stream) {
  const all = { content: "", reasoning: "", finishes: [], ids: new Set(), usage: null };
  for await (const chunk of stream) {
    all.ids.add(chunk.id);
    all.usage = chunk.usage ?? all.usage;
    for (const { delta, finish_reason } of chunk.choices) {
      all.content += delta.content ?? "";
      all.reasoning += delta.reasoning_content ?? "";
      if (finish_reason) all.finishes.push(finish_reason);
    }
  }
  return { ...all, ids: all.ids.size };
}

/** What came before an error in a stream, and the error. */
async function until_it_fails(stream) {
  let content = "";
  const finishes = [];
  try {
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta.content ?? "";
      if (chunk.choices[0]?.finish_reason) finishes.push(chunk.choices[0].finish_reason);
    }
  } catch (error) {
    return { content, finishes, error: told(error) };
  }
  return { content, finishes, error: null };
}

const told = (error) => ({
  name: error.constructor.name,
  api: error instanceof OpenAI.APIError,
  status: error.status ?? null,
  code: error.code ?? null,
  param: error.param ?? null,
  message: error.message,
  request: error.requestID ?? null,
  retry: error.headers?.get("retry-after") ?? null,
});

const scenarios = {
  async create() {
    const completion = await client.chat.completions.create(ask("Hi there"));
    return completion.choices[0];
  },

  async stream() {
    return heard(
      await client.chat.completions.create(ask("Hi there", { stream: true, stream_options: { include_usage: true } })),
    );
  },

  async stream_helper() {
    const stream = client.chat.completions.stream(ask("demo:tokens=4"));
    const pieces = [];
    stream.on("content", (piece) => pieces.push(piece));
    const { choices } = await stream.finalChatCompletion();
    return { pieces, content: choices[0].message.content, finish: choices[0].finish_reason };
  },

  async parallel_calls() {
    const request = ask("Call both in parallel", { tools: [tool("weather", "city"), tool("time", "zone")] });
    const { choices } = await client.chat.completions.stream(request).finalChatCompletion();
    const calls = choices[0].message.tool_calls;
    return {
      finish: choices[0].finish_reason,
      ids: new Set(calls.map((call) => call.id)).size,
      calls: calls.map((call) => [call.function.name, Object.keys(JSON.parse(call.function.arguments))]),
    };
  },

  async tool_loop() {
    const runner = client.chat.completions.runTools(ask("Call weather", { tools: [runnable("weather", "city")] }));
    return { content: await runner.finalContent(), roles: runner.messages.map((message) => message.role) };
  },

  async streamed_tool_loop() {
    const tools = [runnable("weather", "city"), runnable("time", "zone")];
    const runner = client.chat.completions.runTools(ask("Call both in parallel", { tools, stream: true }));
    return { content: await runner.finalContent(), roles: runner.messages.map((message) => message.role) };
  },

  async parse() {
    const format = { type: "json_schema", json_schema: { name: "city", strict: true, schema: schema("name", "land") } };
    const completion = await client.chat.completions.parse(ask("Where?", { response_format: format }));
    return Object.keys(completion.choices[0].message.parsed ?? JSON.parse(completion.choices[0].message.content));
  },

  async rate_limit() {
    await client.chat.completions.create(ask("demo:error=429"));
  },

  async rate_limit_of_a_stream() {
    await client.chat.completions.create(ask("demo:error=429", { stream: true }));
  },

  async failure() {
    await client.chat.completions.create(ask("demo:fail-midstream"));
  },

  async failure_in_a_stream() {
    return until_it_fails(await client.chat.completions.create(ask("demo:fail-midstream", { stream: true })));
  },

  async cut() {
    await client.chat.completions.create(ask("demo:cut demo:tokens=100"));
  },

  async cut_stream() {
    return until_it_fails(await client.chat.completions.create(ask("demo:cut demo:tokens=100", { stream: true })));
  },

  async cut_in_the_helper() {
    await client.chat.completions.stream(ask("demo:cut demo:tokens=100")).finalChatCompletion();
  },

  async leaving_early() {
    const stream = await client.chat.completions.create(ask("demo:tokens=100000", { stream: true }));
    for await (const _ of stream) break;
    return (await heard(await client.chat.completions.create(ask("demo:tokens=3", { stream: true })))).content;
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return ids;
  },

  async response() {
    const response = await client.responses.create({ model: "gpt-5.1", input: "Hi", reasoning: { effort: "low" } });
    return { text: response.output_text, items: response.output.map((item) => item.type) };
  },

  async streamed_response() {
    const stream = client.responses.stream({ model: "gpt-4.1", input: "demo:tokens=3" });
    const kinds = [];
    for await (const event of stream) kinds.push(event.type);
    return { last: kinds.at(-1), text: (await stream.finalResponse()).output_text };
  },

  async embeddings() {
    const { data } = await client.embeddings.create({ model: "text-embedding-3-small", input: "sun", dimensions: 6 });
    return data[0].embedding.length;
  },

  async file() {
    const content = randomBytes(300_000);
    const file = await toFile(content, "random.bin");
    const { id } = await client.files.create({ file, purpose: "user_data" });
    const back = Buffer.from(await (await client.files.content(id)).arrayBuffer());
    const sum = (bytes) => createHash("sha256").update(bytes).digest("hex");
    return { bytes: back.length, same: sum(back) === sum(content) };
  },
};

await report(scenarios, told);
