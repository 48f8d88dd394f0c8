// The helpers of the openai SDK for Node: parse(), the events of stream(), and the tool runner with zod schemas; and
// several choices and stop sequences.  See harness.mjs.

import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { z } from "zod";
import { apiKey, baseURL, report } from "./harness.mjs";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
const chat = client.chat.completions;

const ask = (content, more = {}) => ({ model: "gpt-5.1", messages: [{ role: "user", content }], ...more });

const Town = z.object({
  name: z.string(),
  main_street: z.object({ name: z.string(), numbers: z.array(z.number().int()) }),
  size: z.enum(["small", "large"]),
});
const town = zodResponseFormat(Town, "town");
const keys = (object) => Object.keys(object ?? {});

const zoned = (name, parameters, run) => zodFunction({ name, parameters: z.object(parameters), function: run });
const weather = zoned("weather", { city: z.string(), days: z.number().int().min(1) }, (given) => given);
const time = zoned("time", { zone: z.string() }, async ({ zone }) => `noon in ${zone}`);

/** The kinds of events that the stream helper tells, a run of the same kind once, and its last completion. */
async function events(request) {
  const kinds = [];
  const stream = chat.stream(request);
  for (const kind of [
    "content.delta",
    "content.done",
    "refusal.delta",
    "refusal.done",
    "tool_calls.function.arguments.delta",
    "tool_calls.function.arguments.done",
  ]) {
    stream.on(kind, () => kinds.at(-1) === kind || kinds.push(kind));
  }
  const [choice] = (await stream.finalChatCompletion()).choices;
  return { kinds, message: choice.message, finish: choice.finish_reason };
}

/** What came out of a promise that has to fail: the class of the error, and whether it is the SDK's. */
async function thrown(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    return { name: error.constructor.name, ours: error instanceof OpenAI.OpenAIError };
  }
}

const texts = ({ choices }) => choices.map((choice) => [choice.index, choice.message.content, choice.finish_reason]);

const scenarios = {
  async parse() {
    const [{ message }] = (await chat.parse(ask("Where?", { response_format: town }))).choices;
    return { keys: keys(message.parsed), valid: Town.safeParse(message.parsed).success };
  },

  async parsed_stream() {
    const { kinds, message } = await events(ask("Where?", { response_format: town }));
    return { kinds, valid: Town.safeParse(message.parsed).success };
  },

  async parsed_calls() {
    const [{ message }] = (await chat.parse(ask("Call both in parallel", { tools: [weather, time] }))).choices;
    return message.tool_calls.map((call) => [call.function.name, keys(call.function.parsed_arguments)]);
  },

  async call_events() {
    const { kinds, message, finish } = await events(ask("Call both in parallel", { tools: [weather, time] }));
    return { kinds, finish, calls: message.tool_calls.map(({ function: f }) => [f.name, keys(f.parsed_arguments)]) };
  },

  async refusal() {
    const [{ message }] = (await chat.parse(ask("Please refuse", { response_format: town }))).choices;
    return { refusal: message.refusal, parsed: message.parsed };
  },

  async refusal_events() {
    const { kinds, message } = await events(ask("Please refuse", { response_format: town }));
    return { kinds, refusal: message.refusal, parsed: message.parsed };
  },

  async cut_by_the_limit() {
    const request = ask("Where?", { response_format: town, max_completion_tokens: 20, reasoning_effort: "low" });
    return [await thrown(chat.parse(request)), await thrown(chat.stream(request).finalChatCompletion())];
  },

  async runner() {
    const runner = chat.runTools(ask("Call both in parallel", { tools: [weather, time] }));
    const results = [];
    runner.on("functionToolCallResult", (result) => results.push(result));
    const content = await runner.finalContent();
    return { content, results, usage: await runner.totalUsage(), answers: runner.allChatCompletions().length };
  },

  async streamed_runner() {
    const runner = chat.runTools(ask("Call both in parallel", { tools: [weather, time], stream: true }));
    let streamed = "";
    runner.on("content", (piece) => (streamed += piece));
    const content = await runner.finalContent();
    return { content, streamed, roles: runner.messages.map(({ role }) => role) };
  },

  async runner_of_a_class() {
    const runner = chat.runTools(ask("Call time", { tools: [time], response_format: town }));
    return Town.safeParse((await runner.finalMessage()).parsed).success;
  },

  async broken_runner() {
    const tools = [weather];
    return Promise.all([
      thrown(chat.runTools(ask("Call weather demo:error=429", { tools })).finalContent()),
      thrown(chat.runTools(ask("Call weather demo:cut", { tools })).finalContent()),
      thrown(chat.runTools(ask("Call weather demo:cut", { tools, stream: true })).finalContent()),
      thrown(chat.runTools(ask("Call weather demo:fail-midstream", { tools, stream: true })).finalContent()),
    ]);
  },

  async through_a_readable_stream() {
    const relayed = ChatCompletionStream.fromReadableStream(chat.stream(ask("demo:tokens=4")).toReadableStream());
    return relayed.finalContent();
  },

  async response_of_a_class() {
    const text = { format: zodTextFormat(Town, "town") };
    const response = await client.responses.parse({ model: "gpt-5.1", input: "Where?", text });
    return Town.safeParse(response.output_parsed).success;
  },

  async several_choices() {
    return texts(await chat.create(ask("demo:tokens=3", { n: 3 })));
  },

  async several_streamed_choices() {
    const request = ask("demo:tokens=3", { n: 3, stream_options: { include_usage: true } });
    const completion = await chat.stream(request).finalChatCompletion();
    const whole = await chat.create(ask("demo:tokens=3", { n: 3 }));
    return { texts: texts(completion), usage: completion.usage, whole: whole.usage };
  },

  async stop() {
    const request = ask("demo:tokens=12", { stop: ["never", "o4 d"] });
    return [texts(await chat.create(request)), texts(await chat.stream(request).finalChatCompletion())];
  },

  async at_once() {
    const counts = [1, 2, 3, 4, 5, 6, 7, 8];
    const answers = await Promise.all(
      counts.map((n) => chat.stream(ask(`demo:tokens=${n} demo:slow=5`)).finalContent()),
    );
    return answers.map((answer) => answer.split(" ").length);
  },
};

await report(scenarios);
