// What apps do with Vercel's AI SDK and its provider of OpenAI, at a base URL.
// `node ai_sdk.mjs BASE_URL KEY CHAT_MODEL EMBEDDINGS_MODEL` prints one JSON object: what came of each.

import { createOpenAI } from '@ai-sdk/openai'
import { embed, embedMany, generateText, jsonSchema, streamText, tool } from 'ai'

const [baseURL, apiKey, chatModel, embeddingsModel] = process.argv.slice(2)
const openai = createOpenAI({ baseURL, apiKey })
const model = openai(chatModel) // the Responses API, its default
const common = { model, prompt: 'Hi', maxRetries: 0 }
const city = jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] })

const whole = await generateText(common)
const streamed = streamText(common)
let text = ''
for await (const piece of streamed.textStream) text += piece
const called = await generateText({ ...common, prompt: 'Call', tools: { get_weather: tool({ inputSchema: city }) } })
const vectors = openai.embedding(embeddingsModel)
const one = await embed({ model: vectors, value: 'Hi', maxRetries: 0 })
const many = await embedMany({ model: vectors, values: ['a', 'b', 'c'], maxRetries: 0 })
const usage = await streamed.usage

console.log(
  JSON.stringify({
    whole: whole.text,
    usage: [whole.usage.inputTokens, whole.usage.outputTokens],
    stream: text,
    streamed_usage: [usage.inputTokens, usage.outputTokens],
    calls: called.toolCalls.map((call) => [call.toolName, call.input]),
    query: one.embedding,
    documents: many.embeddings,
  }),
)
