// Prices calls with the published package and prints one JSON object a line:
//
//   node calls.mjs list           the list inside the package, as one JSON array
//   node calls.mjs calls [SEED]   for every model that the package lists, by its id and by every name that
//                                 its rules spell out, calls with random counts at telling instants
import { calcPrice, waitForUpdate } from '@pydantic/genai-prices'

const [mode = 'calls', seed = '1'] = process.argv.slice(2)
const providers = await waitForUpdate()

// mulberry32: small, seeded, the same everywhere.
let state = Number(seed) >>> 0
function random() {
  state = (state + 0x6d2b79f5) >>> 0
  let t = state
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(random() * n)
const sometimes = (n) => (random() < 0.5 ? below(n) : 0)

// A call's counts under our names: parts that fit into their totals.
function counts(inputTotal) {
  const cachedAudio = sometimes(500)
  const cachedImage = sometimes(500)
  const c = {
    cachedAudioTokens: cachedAudio,
    cachedImageTokens: cachedImage,
    cachedTokens: cachedAudio + cachedImage + sometimes(50_000),
    cacheWriteTokens: sometimes(20_000),
    cacheWrite1hTokens: sometimes(20_000),
    inputAudioTokens: cachedAudio + sometimes(5_000),
    inputImageTokens: cachedImage + sometimes(5_000),
    inputVideoTokens: sometimes(5_000),
    reasoningTokens: sometimes(9_000),
    outputAudioTokens: sometimes(3_000),
    outputImageTokens: sometimes(3_000),
    outputVideoTokens: sometimes(3_000),
    citationTokens: sometimes(1_000),
    webSearches: sometimes(9),
    storageSearches: sometimes(9),
    socialSearches: sometimes(9),
    rerankSearches: sometimes(9),
    codeExecutions: sometimes(9),
    annotatedPages: sometimes(20),
    audioMilliseconds: random() < 0.3 ? below(20_000) : sometimes(7_200_000),
    messages: sometimes(50),
  }
  c.pages = c.annotatedPages + sometimes(100)
  const parts =
    c.cachedTokens - cachedAudio - cachedImage + c.cacheWriteTokens + c.cacheWrite1hTokens +
    c.inputAudioTokens + c.inputImageTokens + c.inputVideoTokens
  c.inputTokens = inputTotal === undefined ? parts + sometimes(400_000) : inputTotal
  if (inputTotal !== undefined && parts > inputTotal) {
    for (const name of ['cachedTokens', 'cachedAudioTokens', 'cachedImageTokens', 'cacheWriteTokens', 'cacheWrite1hTokens', 'inputAudioTokens', 'inputImageTokens', 'inputVideoTokens']) c[name] = 0
  }
  c.outputTokens =
    c.reasoningTokens + c.outputAudioTokens + c.outputImageTokens + c.outputVideoTokens + c.citationTokens + sometimes(20_000)
  return c
}

// The same counts under the package's names, whose cache writes contain the
// one-hour ones and whose durations are seconds.
function usage(c) {
  return {
    input_tokens: c.inputTokens,
    output_tokens: c.outputTokens,
    cache_read_tokens: c.cachedTokens,
    cache_write_tokens: c.cacheWriteTokens + c.cacheWrite1hTokens,
    cache_write_1h_tokens: c.cacheWrite1hTokens,
    input_audio_tokens: c.inputAudioTokens,
    cache_audio_read_tokens: c.cachedAudioTokens,
    input_image_tokens: c.inputImageTokens,
    cache_image_read_tokens: c.cachedImageTokens,
    input_video_tokens: c.inputVideoTokens,
    output_reasoning_tokens: c.reasoningTokens,
    output_audio_tokens: c.outputAudioTokens,
    output_image_tokens: c.outputImageTokens,
    output_video_tokens: c.outputVideoTokens,
    output_citation_tokens: c.citationTokens,
    web_searches: c.webSearches,
    storage_searches: c.storageSearches,
    social_searches: c.socialSearches,
    rerank_searches: c.rerankSearches,
    code_executions: c.codeExecutions,
    input_document_pages: c.pages,
    input_annotated_document_pages: c.annotatedPages,
    audio_seconds: c.audioMilliseconds / 1000,
    input_audio_seconds: c.audioMilliseconds / 1000,
    input_text_messages: c.messages,
  }
}

const everyone = ['2023-05-01T00:00:00.000Z', '2026-11-22T12:34:56.789Z', '2033-02-03T23:59:59.999Z']

// Instants around everything that the model's prices depend on.
function instants(model) {
  const at = new Set(everyone)
  for (let i = 0; i < 3; i++) at.add(new Date(Date.UTC(2023, 0, 1) + below(6 * 366 * 86_400) * 1000).toISOString())
  const entries = Array.isArray(model.prices) ? model.prices : []
  const days = ['2025-03-05', '2026-08-16', '2026-08-20', '2026-08-22', '2026-08-23', '2026-11-20', '2026-11-21', '2026-11-22', '2026-11-23', '2030-01-01']
  for (const { constraint } of entries) {
    if (!constraint) continue
    if (constraint.start_date) {
      const start = Date.parse(constraint.start_date)
      for (const ms of [start - 86_400_000, start - 1, start, start + 1, start + 86_400_000]) at.add(new Date(ms).toISOString())
    } else {
      for (const day of days) {
        for (const edge of [constraint.start_time, constraint.end_time]) {
          const ms = Date.parse(`${day}T${edge}`)
          for (const t of [ms - 1, ms, ms + 1]) at.add(new Date(t).toISOString())
        }
        at.add(new Date(Date.parse(`${day}T00:00:00Z`) + below(86_400_000)).toISOString())
      }
    }
  }
  return [...at].sort()
}

function thresholds(model) {
  const entries = Array.isArray(model.prices) ? model.prices.map((e) => e.prices) : [model.prices]
  const starts = new Set()
  for (const prices of entries) for (const p of Object.values(prices)) for (const t of p.tiers ?? []) starts.add(t.start)
  return [...starts]
}

function names(rule, out) {
  if (rule.equals !== undefined) out.add(rule.equals)
  for (const r of rule.or ?? []) names(r, out)
  return out
}

function emit(provider, listed, model, at, c, more) {
  const line = { provider, listed, model, at, counts: c, ...more }
  try {
    const got = calcPrice(usage(c), model, { providerId: provider, timestamp: new Date(at) })
    if (got) Object.assign(line, { price: got.total_price, foundProvider: got.provider.id, found: got.model.id })
  } catch (e) {
    line.error = String(e.message)
  }
  process.stdout.write(JSON.stringify(line) + '\n')
}

if (mode === 'list') {
  process.stdout.write(JSON.stringify(providers) + '\n')
} else {
  calls()
}

function calls() {
  for (const p of providers) {
    for (const m of p.models) {
      const at = instants(m)
      for (const t of at) emit(p.id, m.id, m.id, t, counts())
      for (const start of thresholds(m)) {
        for (const total of [start - 1, start, start + 1]) {
          for (const t of at) emit(p.id, m.id, m.id, t, counts(total))
        }
      }
      const zero = Object.fromEntries(Object.keys(counts()).map((k) => [k, 0]))
      emit(p.id, m.id, m.id, everyone[1], zero)
      const known = names(m.match, new Set())
      for (const name of [...known]) {
        known.add(name.toUpperCase())
        known.add(name.replace(/-(20\d\d)-(\d\d)-(\d\d)$/, '-$1$2$3'))
      }
      known.delete(m.id)
      for (const name of known) emit(p.id, m.id, name, everyone[below(everyone.length)], counts())
      for (const suffix of ['-20250101', '-2025-01-01', '@20250101', '-latest', '-v1:0']) {
        const added = { suffix }
        emit(p.id, m.id, m.id + suffix, everyone[below(everyone.length)], counts(), added)
      }
    }
  }
}
