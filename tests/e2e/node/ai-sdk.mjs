// What users of the AI SDK do, with its provider for OpenAI-compatible servers and with the chat model of its provider
// for OpenAI.  See harness.mjs.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  Output,
  ToolLoopAgent,
  embedMany,
  extractReasoningMiddleware,
  generateObject,
  generateText,
  isStepCount,
  streamText,
  tool,
  wrapLanguageModel,
} from "ai";
import { z } from "zod";
import { apiKey, baseURL, report } from "./harness.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
process.noDeprecation = true; // generateObject is deprecated, and what older programs use

const compatible = createOpenAICompatible({
  name: "oaiproxy",
  baseURL,
  apiKey,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const openai = createOpenAI({ baseURL, apiKey });

const model = compatible("gpt-5.1");
const maxRetries = 0;

const weather = tool({
  description: "Tells the weather.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `fine in ${city}`,
});
const time = tool({
  description: "Tells the time.",
  inputSchema: z.object({ zone: z.string() }),
  execute: async ({ zone }) => ({ noon: zone }),
});
const broken = tool({
  description: "Breaks.",
  inputSchema: z.object({}),
  execute: async () => {
    throw new Error("it broke");
  },
});
const tools = { weather, time };
const stopWhen = isStepCount(3);
const Town = z.object({ name: z.string(), streets: z.array(z.object({ name: z.string(), size: z.enum(["s", "l"]) })) });

/** What an error is: the SDK's own classes have such names. */
const told = (error) => ({
  name: error.name,
  status: error.statusCode ?? null,
  message: error.message,
  retryable: error.isRetryable ?? null,
  retry: error.responseHeaders?.["retry-after"] ?? null,
});

/** What an answer says; the same of a stream's, once its promises are awaited. */
async function said(result) {
  const usage = await result.usage;
  return {
    text: await result.text,
    reasoning: (await result.reasoningText) ?? null,
    finish: await result.finishReason,
    usage: [usage.inputTokens, usage.outputTokens, usage.outputTokenDetails.reasoningTokens, usage.totalTokens],
  };
}

/** The kinds of a stream's parts (a run of the same kind once), how it ended, and the errors that it told or threw. */
async function parts(result) {
  const all = { kinds: [], text: "", finish: null, told: [], thrown: null };
  try {
    for await (const part of result.fullStream) {
      if (part.type !== all.kinds.at(-1)) all.kinds.push(part.type);
      if (part.type === "text-delta") all.text += part.text;
      if (part.type === "error") all.told.push(told(part.error));
      if (part.type === "finish") all.finish = part.finishReason;
    }
  } catch (error) {
    all.thrown = told(error);
  }
  return all;
}

const stream = (request) => streamText({ model, maxRetries, onError: () => {}, ...request });
const generate = (request) => generateText({ model, maxRetries, ...request });

/** The tools that each step called, with what they got and gave. */
const steps = (all) => all.map(({ toolResults }) => toolResults.map((r) => [r.toolName, r.input, r.output]));

const scenarios = {
  async text() {
    return [await said(await generate({ prompt: "Hi there" })), await said(stream({ prompt: "Hi there" }))];
  },

  async parts() {
    return parts(stream({ prompt: "demo:tokens=3" }));
  },

  async system() {
    return (await generate({ instructions: "Be short.", prompt: "Hi" })).text;
  },

  async history() {
    const { response } = await generate({ prompt: "One" });
    const user = (content) => ({ role: "user", content });
    return (await generate({ messages: [user("One"), ...response.messages, user("Two")] })).text;
  },

  async picture() {
    const pixel = new Uint8Array(Buffer.from("89504e470d0a1a0a", "hex"));
    const content = [
      { type: "text", text: "What is this?" },
      { type: "file", data: pixel, mediaType: "image/png" },
    ];
    return (await generate({ messages: [{ role: "user", content }] })).text;
  },

  async effort() {
    return (await generate({ prompt: "Hi", providerOptions: { oaiproxy: { reasoningEffort: "high" } } })).text;
  },

  async loop() {
    const result = await generate({ prompt: "Call weather", tools, stopWhen });
    return { text: result.text, steps: steps(result.steps), finishes: result.steps.map((step) => step.finishReason) };
  },

  async streamed_loop() {
    const result = stream({ prompt: "Call both in parallel", tools, stopWhen });
    return { ...(await parts(result)), steps: steps(await result.steps) };
  },

  async agent() {
    const agent = new ToolLoopAgent({ model, tools, maxRetries, instructions: "Be helpful." });
    return (await agent.generate({ prompt: "Call time" })).text;
  },

  async forced() {
    const { toolCalls } = await generate({ prompt: "Hi", tools, toolChoice: { type: "tool", toolName: "time" } });
    return toolCalls.map((call) => call.toolName);
  },

  async broken_tool() {
    return (await generate({ prompt: "Call broken", tools: { broken }, stopWhen })).text;
  },

  async output() {
    const { output } = await generate({ prompt: "Where?", output: Output.object({ schema: Town }) });
    return Town.safeParse(output).success;
  },

  async streamed_output() {
    const result = stream({ prompt: "Where?", output: Output.object({ schema: Town }) });
    let pieces = 0;
    for await (const _ of result.partialOutputStream) pieces++;
    return { pieces, valid: Town.safeParse(await result.output).success };
  },

  async output_after_tools() {
    const result = await generate({ prompt: "Call weather", tools, stopWhen, output: Output.object({ schema: Town }) });
    return { steps: result.steps.length, valid: Town.safeParse(result.output).success };
  },

  async output_choice() {
    return (await generate({ prompt: "Which?", output: Output.choice({ options: ["sunny", "rainy"] }) })).output;
  },

  async object() {
    return Town.safeParse((await generateObject({ model, maxRetries, prompt: "Where?", schema: Town })).object).success;
  },

  async object_cut_by_the_limit() {
    const request = { prompt: "Where?", maxOutputTokens: 22, output: Output.object({ schema: Town }) };
    return (await generate(request)).output;
  },

  async refusal() {
    const { text, finishReason } = await generate({ prompt: "Please refuse" });
    return [text, finishReason];
  },

  async stop() {
    const request = { prompt: "demo:tokens=12", stopSequences: ["never", "o4 d"] };
    return [(await generate(request)).text, await parts(stream(request))];
  },

  async limit() {
    const { text, finishReason } = await generate({ prompt: "demo:tokens=50", maxOutputTokens: 26 });
    return [text.split(" ").length, finishReason];
  },

  async rate_limit() {
    await generate({ prompt: "demo:error=429" });
  },

  async rate_limit_of_a_stream() {
    return parts(stream({ prompt: "demo:error=429" }));
  },

  async refused_request() {
    await generate({ prompt: "demo:error=400" });
  },

  async retried() {
    await generate({ prompt: "demo:error=503", maxRetries: 1 });
  },

  async failure() {
    await generate({ prompt: "demo:fail-midstream" });
  },

  async failure_in_a_stream() {
    return parts(stream({ prompt: "demo:fail-midstream demo:tokens=40" }));
  },

  async cut() {
    await generate({ prompt: "demo:cut demo:tokens=100" });
  },

  async cut_stream() {
    return parts(stream({ prompt: "demo:cut demo:tokens=100" }));
  },

  async leaving_early() {
    const leaving = new AbortController();
    for await (const part of stream({ prompt: "demo:tokens=100000", abortSignal: leaving.signal }).fullStream) {
      if (part.type === "text-delta") leaving.abort();
    }
    return (await generate({ prompt: "demo:tokens=2" })).text;
  },

  async at_once() {
    const counts = [1, 2, 3, 4, 5, 6, 7, 8];
    const texts = await Promise.all(counts.map((n) => stream({ prompt: `demo:tokens=${n} demo:slow=5` }).text));
    return texts.map((text) => text.split(" ").length);
  },

  async think_tags() {
    const middleware = extractReasoningMiddleware({ tagName: "think" });
    const request = { model: wrapLanguageModel({ model, middleware }), prompt: "demo:tokens=2" };
    return [await said(await generate(request)), await said(stream(request))];
  },

  async embeddings() {
    const small = compatible.embeddingModel("text-embedding-3-small");
    const { embeddings } = await embedMany({ model: small, values: ["a", "b"] });
    return embeddings.map((embedding) => embedding.length);
  },

  async openai_text() {
    const chat = { model: openai.chat("gpt-5.1"), prompt: "demo:tokens=3" };
    return [await said(await generate(chat)), await said(stream(chat))];
  },

  async openai_loop() {
    const result = stream({ model: openai.chat("gpt-5.1"), prompt: "Call both in parallel", tools, stopWhen });
    return { ...(await parts(result)), steps: steps(await result.steps) };
  },

  async openai_output() {
    const output = Output.object({ schema: Town });
    return Town.safeParse((await generate({ model: openai.chat("gpt-5.1"), prompt: "Where?", output })).output).success;
  },

  async openai_sources() {
    const chat = { model: openai.chat("gpt-5.1"), prompt: "Please search" };
    const urls = (sources) => sources.map((source) => source.url);
    return [urls((await generate(chat)).sources), urls(await stream(chat).sources)];
  },

  async openai_cut_stream() {
    return parts(stream({ model: openai.chat("gpt-5.1"), prompt: "demo:cut demo:tokens=100" }));
  },

  async openai_responses() {
    const responses = { model: openai.responses("gpt-5.1"), prompt: "Call weather", tools, stopWhen };
    return (await generate(responses)).text;
  },
};

await report(scenarios, told);
