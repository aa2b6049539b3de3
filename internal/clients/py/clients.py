"""One call of a client of Bedrock, as its own documentation shows it: clients.py CLIENT MODE.

It prints what the client says that was used, as one line of JSON. Modes: unary, stream, tool (a turn that asks for a tool and one that gives its
result), cached (a turn behind a cache point), several of them with commas between, loop (calls until one fails, whose text goes to standard error).
"""

import asyncio
import json
import os
import sys

CLAUDE = "us.anthropic.claude-sonnet-4-6"
GPT = "openai.gpt-oss-120b-1:0"
ASK = "What is a budget for?"
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}}
NOTES = "Answer as the notes of the house say. " * 1000


def told(text, used_in, used_out, read=0, written=0):
    """Input is what was neither read from the cache nor written to it."""
    return {"text": text, "input": used_in, "output": used_out, "read": read or 0, "written": written or 0}


def boto3(mode):
    import boto3

    client = boto3.client("bedrock-runtime")
    ask = {"modelId": CLAUDE, "messages": [{"role": "user", "content": [{"text": ASK}]}], "inferenceConfig": {"maxTokens": 2000}}
    if mode == "tool":
        ask["toolConfig"] = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": TOOL}}}]}
        first = client.converse(**ask)
        use = next(b["toolUse"] for b in first["output"]["message"]["content"] if "toolUse" in b)
        ask["messages"] += [first["output"]["message"], {"role": "user", "content": [{"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "sun"}]}}]}]
    if mode == "cached":
        ask["system"] = [{"text": NOTES}, {"cachePoint": {"type": "default"}}]
    if mode == "stream":
        text, usage = "", {}
        for event in client.converse_stream(**ask)["stream"]:
            text += event.get("contentBlockDelta", {}).get("delta", {}).get("text", "")
            usage = event.get("metadata", {}).get("usage", usage)
    else:
        answer = client.converse(**ask)
        usage, text = answer["usage"], answer["output"]["message"]["content"][0].get("text", "")
    return told(text, usage["inputTokens"], usage["outputTokens"], usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens"))


def anthropic_messages(client, mode):
    ask = {"model": CLAUDE, "max_tokens": 2000, "messages": [{"role": "user", "content": ASK}]}
    if mode == "tool":
        ask["tools"] = [{"name": "weather", "input_schema": TOOL}]
        first = client.messages.create(**ask)
        use = next(b for b in first.content if b.type == "tool_use")
        ask["messages"] += [
            {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in first.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sun"}]},
        ]
    if mode == "cached":
        ask["system"] = [{"type": "text", "text": NOTES, "cache_control": {"type": "ephemeral"}}]
    if mode == "stream":
        with client.messages.stream(**ask) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
    else:
        final = client.messages.create(**ask)
        text = "".join(b.text for b in final.content if b.type == "text")
    return told(text, final.usage.input_tokens, final.usage.output_tokens, final.usage.cache_read_input_tokens, final.usage.cache_creation_input_tokens)


def anthropic(mode):
    from anthropic import Anthropic

    return anthropic_messages(Anthropic(), mode)


def anthropic_bedrock(mode):
    from anthropic import AnthropicBedrock

    return anthropic_messages(AnthropicBedrock(), mode)


def openai_chat(mode):
    from openai import OpenAI

    client = OpenAI()
    ask = {"model": GPT, "max_completion_tokens": 2000, "messages": [{"role": "user", "content": ASK}]}
    if mode == "tool":
        ask["tools"] = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
        first = client.chat.completions.create(**ask).choices[0].message
        ask["messages"] += [first.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "sun"}]
    if mode == "stream":
        text, usage = "", None
        for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
            text += "".join(c.delta.content or "" for c in chunk.choices)
            usage = chunk.usage or usage
    else:
        answer = client.chat.completions.create(**ask)
        text, usage = answer.choices[0].message.content, answer.usage
    return told(text, usage.prompt_tokens, usage.completion_tokens)


def openai_responses(mode):
    from openai import OpenAI

    client = OpenAI()
    ask = {"model": GPT, "max_output_tokens": 2000, "input": [{"role": "user", "content": ASK}], "store": False}
    if mode == "tool":
        ask["tools"] = [{"type": "function", "name": "weather", "parameters": TOOL}]
        first = client.responses.create(**ask)
        use = next(o for o in first.output if o.type == "function_call")
        ask["input"] += [o.model_dump(exclude_none=True) for o in first.output if o.type == "function_call"] + [{"type": "function_call_output", "call_id": use.call_id, "output": "sun"}]
    if mode == "stream":
        text, usage = "", None
        for event in client.responses.create(**ask, stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.completed":
                usage = event.response.usage
    else:
        answer = client.responses.create(**ask)
        text, usage = answer.output_text, answer.usage
    return told(text, usage.input_tokens, usage.output_tokens)


def litellm_model(model):
    def call(mode):
        import litellm

        ask = {"model": model, "max_tokens": 2000, "messages": [{"role": "user", "content": ASK}]}
        if mode == "tool":
            ask["tools"] = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
            first = litellm.completion(**ask).choices[0].message
            ask["messages"] += [first.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "sun"}]
        if mode == "cached":
            ask["messages"].insert(0, {"role": "system", "content": [{"type": "text", "text": NOTES, "cache_control": {"type": "ephemeral"}}]})
        if mode == "stream":
            text, usage = "", None
            for chunk in litellm.completion(**ask, stream=True, stream_options={"include_usage": True}):
                text += "".join(c.delta.content or "" for c in chunk.choices)
                usage = getattr(chunk, "usage", None) or usage
        else:
            answer = litellm.completion(**ask)
            text, usage = answer.choices[0].message.content, answer.usage
        read, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
        return told(text, usage.prompt_tokens - read - written, usage.completion_tokens, read, written)

    return call


def langchain_aws(mode):
    from langchain_aws import ChatBedrockConverse

    model = ChatBedrockConverse(model=CLAUDE, max_tokens=2000)
    messages = [("user", ASK)]
    if mode == "cached":
        from langchain_core.messages import SystemMessage

        messages.insert(0, SystemMessage([{"type": "text", "text": NOTES}, ChatBedrockConverse.create_cache_point()]))
    if mode == "tool":
        model = model.bind_tools([{"name": "weather", "description": "tells the weather", "input_schema": TOOL}])
        first = model.invoke(messages)
        messages += [first, ("tool", "sun")]
        from langchain_core.messages import ToolMessage

        messages[-1] = ToolMessage("sun", tool_call_id=first.tool_calls[0]["id"])
    if mode == "stream":
        whole = None
        for chunk in model.stream(messages):
            whole = chunk if whole is None else whole + chunk
    else:
        whole = model.invoke(messages)
    usage = whole.usage_metadata
    details = usage.get("input_token_details") or {}
    read, written = details.get("cache_read") or 0, sum(n for kind, n in details.items() if kind != "cache_read")  # written, by lifetime
    return told(str(whole.content), usage["input_tokens"] - read - written, usage["output_tokens"], read, written)


def pydantic_ai(mode):
    from pydantic_ai import Agent
    from pydantic_ai.models.bedrock import BedrockConverseModel

    settings = {"max_tokens": 2000}
    if mode == "cached":
        settings["bedrock_cache_instructions"] = True
    agent = Agent(BedrockConverseModel(CLAUDE), instructions=NOTES if mode == "cached" else None, model_settings=settings)
    if mode == "tool":

        @agent.tool_plain
        def weather(city: str = "") -> str:
            return "sun"

    if mode == "stream":

        async def run():
            async with agent.run_stream(ASK) as result:
                return await result.get_output(), result.usage

        text, usage = asyncio.run(run())
    else:
        result = agent.run_sync(ASK)
        text, usage = result.output, result.usage
    usage = usage() if callable(usage) else usage
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    return told(text, usage.input_tokens - read - written, usage.output_tokens, read, written)


def strands(mode):
    from strands import Agent, tool
    from strands.models import BedrockModel

    @tool
    def weather(city: str = "") -> str:
        """Tells the weather."""
        return "sun"

    model = BedrockModel(model_id=CLAUDE, max_tokens=2000, streaming=mode != "unary")
    system = [{"text": NOTES}, {"cachePoint": {"type": "default"}}] if mode == "cached" else None
    agent = Agent(model=model, system_prompt=system, callback_handler=None, tools=[weather] if mode == "tool" else [])
    result = agent(ASK)
    usage = result.metrics.accumulated_usage
    return told(str(result), usage["inputTokens"], usage["outputTokens"], usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens"))


CLIENTS = {
    "boto3": boto3,
    "anthropic": anthropic,
    "anthropic-bedrock": anthropic_bedrock,
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "litellm-converse": litellm_model("bedrock/converse/" + CLAUDE),
    "litellm-invoke": litellm_model("bedrock/invoke/" + CLAUDE),
    "litellm-openai": litellm_model("openai/" + GPT),
    "langchain-aws": langchain_aws,
    "pydantic-ai": pydantic_ai,
    "strands": strands,
}


def main():
    client, mode = CLIENTS[sys.argv[1]], sys.argv[2]
    if mode != "loop":
        for mode in mode.split(","):
            print("told", json.dumps(client(mode)), flush=True)
        return
    for _ in range(200):
        client("unary")
    sys.exit("never refused")


main()
