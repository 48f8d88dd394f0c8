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

/**
 * Runs the scenarios, or only those that were named, one after the other, and prints one JSON object: the name of each
 * -> {"value": what it gave} or {"error": what it threw}.
 */
export async function report(scenarios, tell = told) {
  const results = {};
  for (const [name, run] of Object.entries(scenarios)) {
    if (wanted.length && !wanted.includes(name)) continue;
    try {
      results[name] = { value: await run() };
    } catch (error) {
      results[name] = { error: tell(error) };
    }
  }
  console.log(JSON.stringify(results));
}
