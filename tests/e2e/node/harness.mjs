// What the scripts for Node clients share: they run scenarios against one port of the service and tell what came of it.
//
//     node SCRIPT.mjs BASE_URL KEY [SCENARIO ...]

export const [baseURL, apiKey, ...wanted] = process.argv.slice(2);

/** The schema of an object with a text for each name. */
export const schema = (...names) => ({
  type: "object",
  properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
  required: names,
  additionalProperties: false,
});

/** What an error says of itself, as far as it is an SDK's. */
export const told = (error) => ({
  name: error.constructor.name,
  status: error.status ?? error.statusCode ?? null,
  code: error.code ?? null,
  message: error.message,
});

/** What a scenario gives or throws. */
async function outcome(run, tell) {
  try {
    return { value: await run() };
  } catch (error) {
    return { error: tell(error) };
  }
}

/**
 * Runs the scenarios, or only those that were named, and prints one JSON object: the name of each -> {"value": what it
 * gave} or {"error": what it threw}.  All run at once: many of them do nothing but wait before something is tried again.
 */
export async function report(scenarios, tell = told) {
  const chosen = Object.entries(scenarios).filter(([name]) => !wanted.length || wanted.includes(name));
  const results = await Promise.all(chosen.map(async ([name, run]) => [name, await outcome(run, tell)]));
  console.log(JSON.stringify(Object.fromEntries(results)));
}
