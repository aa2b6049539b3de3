// One call of a client of Bedrock, as its own documentation shows it: clients.mjs CLIENT MODE. See clients.py, which does the same.

const CLAUDE = "us.anthropic.claude-sonnet-4-6";
const GPT = "openai.gpt-oss-120b-1:0";
const ASK = "What is a budget for?";
const TOOL = { type: "object", properties: { city: { type: "string" } } };

const NOTES = "Answer as the notes of the house say. ".repeat(1000);

// Input is what was neither read from the cache nor written to it.
const told = (text, input, output, read = 0, written = 0) => ({ text, input, output, read: read ?? 0, written: written ?? 0 });

async function awsSDK(mode) {
  const { BedrockRuntimeClient, ConverseCommand, ConverseStreamCommand } = await import("@aws-sdk/client-bedrock-runtime");
  const client = new BedrockRuntimeClient();
  const ask = { modelId: CLAUDE, messages: [{ role: "user", content: [{ text: ASK }] }], inferenceConfig: { maxTokens: 2000 } };
  if (mode === "tool") {
    ask.toolConfig = { tools: [{ toolSpec: { name: "weather", inputSchema: { json: TOOL } } }] };
    const { message } = (await client.send(new ConverseCommand(ask))).output;
    const { toolUse } = message.content.find((b) => b.toolUse);
    ask.messages.push(message, { role: "user", content: [{ toolResult: { toolUseId: toolUse.toolUseId, content: [{ text: "sun" }] } }] });
  }
  if (mode === "cached") ask.system = [{ text: NOTES }, { cachePoint: { type: "default" } }];
  let text = "", usage;
  if (mode === "stream") {
    for await (const e of (await client.send(new ConverseStreamCommand(ask))).stream) {
      text += e.contentBlockDelta?.delta?.text ?? "";
      usage = e.metadata?.usage ?? usage;
    }
  } else {
    const answer = await client.send(new ConverseCommand(ask));
    text = answer.output.message.content[0].text;
    usage = answer.usage;
  }
  return told(text, usage.inputTokens, usage.outputTokens, usage.cacheReadInputTokens, usage.cacheWriteInputTokens);
}

const anthropicMessages = (make) => async (mode) => {
  const client = await make();
  const ask = { model: CLAUDE, max_tokens: 2000, messages: [{ role: "user", content: ASK }] };
  if (mode === "tool") {
    ask.tools = [{ name: "weather", input_schema: TOOL }];
    const first = await client.messages.create(ask);
    const use = first.content.find((b) => b.type === "tool_use");
    ask.messages.push({ role: "assistant", content: first.content }, { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "sun" }] });
  }
  if (mode === "cached") ask.system = [{ type: "text", text: NOTES, cache_control: { type: "ephemeral" } }];
  let text = "", usage = {};
  if (mode === "stream") {
    for await (const e of await client.messages.create({ ...ask, stream: true })) {
      if (e.type === "message_start") usage = { ...e.message.usage };
      if (e.type === "message_delta") usage = { ...usage, ...e.usage };
      if (e.type === "content_block_delta") text += e.delta.text ?? "";
    }
  } else {
    const answer = await client.messages.create(ask);
    text = answer.content.map((b) => b.text ?? "").join("");
    usage = answer.usage;
  }
  return told(text, usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens);
};

async function openaiChat(mode) {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI();
  const ask = { model: GPT, max_completion_tokens: 2000, messages: [{ role: "user", content: ASK }] };
  if (mode === "tool") {
    ask.tools = [{ type: "function", function: { name: "weather", parameters: TOOL } }];
    const { message } = (await client.chat.completions.create(ask)).choices[0];
    ask.messages.push(message, { role: "tool", tool_call_id: message.tool_calls[0].id, content: "sun" });
  }
  let text = "", usage;
  if (mode === "stream") {
    for await (const chunk of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
  } else {
    const answer = await client.chat.completions.create(ask);
    text = answer.choices[0].message.content;
    usage = answer.usage;
  }
  return told(text, usage.prompt_tokens, usage.completion_tokens);
}

async function openaiResponses(mode) {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI();
  const ask = { model: GPT, max_output_tokens: 2000, input: [{ role: "user", content: ASK }], store: false };
  if (mode === "tool") {
    ask.tools = [{ type: "function", name: "weather", parameters: TOOL, strict: false }];
    const first = await client.responses.create(ask);
    const use = first.output.find((o) => o.type === "function_call");
    ask.input.push(use, { type: "function_call_output", call_id: use.call_id, output: "sun" });
  }
  let text = "", usage;
  if (mode === "stream") {
    for await (const e of await client.responses.create({ ...ask, stream: true })) {
      if (e.type === "response.output_text.delta") text += e.delta;
      if (e.type === "response.completed") usage = e.response.usage;
    }
  } else {
    const answer = await client.responses.create(ask);
    text = answer.output_text;
    usage = answer.usage;
  }
  return told(text, usage.input_tokens, usage.output_tokens);
}

async function vercel(mode) {
  const { generateText, streamText, tool, jsonSchema, stepCountIs } = await import("ai");
  const { createAmazonBedrock } = await import("@ai-sdk/amazon-bedrock");
  const bedrock = createAmazonBedrock({
    baseURL: process.env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME, region: process.env.AWS_REGION,
    accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
  });
  const ask = { model: bedrock(CLAUDE), prompt: ASK, maxOutputTokens: 2000 };
  if (mode === "tool") {
    ask.tools = { weather: tool({ inputSchema: jsonSchema(TOOL), execute: async () => "sun" }) };
    ask.stopWhen = stepCountIs(4);
  }
  if (mode === "stream") {
    let failed;
    const result = streamText({ ...ask, onError: ({ error }) => { failed = error; } });
    let text = "";
    for await (const part of result.textStream) text += part;
    if (failed) throw failed;
    const usage = await result.usage;
    return told(text, usage.inputTokens, usage.outputTokens);
  }
  if (mode === "cached") {
    delete ask.prompt;
    ask.messages = [{ role: "system", content: NOTES, providerOptions: { bedrock: { cachePoint: { type: "default" } } } }, { role: "user", content: ASK }];
  }
  const { text, totalUsage } = await generateText(ask);
  const { cacheReadTokens: read = 0, cacheWriteTokens: written = 0 } = totalUsage.inputTokenDetails ?? {};
  return told(text, totalUsage.inputTokens - read - written, totalUsage.outputTokens, read, written);
}

const clients = {
  "aws-sdk-js": awsSDK,
  "anthropic-js": anthropicMessages(async () => new (await import("@anthropic-ai/sdk")).default()),
  "anthropic-bedrock-js": anthropicMessages(async () => new (await import("@anthropic-ai/bedrock-sdk")).default()),
  "openai-chat-js": openaiChat,
  "openai-responses-js": openaiResponses,
  "ai-sdk": vercel,
};

const [name, mode] = process.argv.slice(2);
try {
  if (mode !== "loop") {
    for (const m of mode.split(",")) console.log("told", JSON.stringify(await clients[name](m)));
  } else {
    for (let i = 0; i < 200; i++) await clients[name]("unary");
    console.error("never refused");
    process.exitCode = 1;
  }
} catch (e) {
  console.error(e?.message ?? e);
  process.exitCode = 1;
}
