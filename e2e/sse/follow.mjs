// Follows a stream with the published EventSource client and writes what it
// sees, a JSON object a line, until its standard input ends.
import { EventSource } from 'eventsource'

const source = new EventSource(process.argv[2])
const write = (what) => process.stdout.write(JSON.stringify(what) + '\n')
source.addEventListener('open', () => write({ opened: true }))
source.addEventListener('error', () => write({ broken: true }))
source.addEventListener('message', (m) => write({ id: m.lastEventId, data: m.data }))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
