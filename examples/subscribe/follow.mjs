// Follow the scores of one cluster, each once, with @platformatic/kafka.
import { Consumer, stringDeserializers } from '@platformatic/kafka'

const consumer = new Consumer({
  clientId: 'my-service',
  groupId: 'my-service',
  bootstrapBrokers: [process.env.CLICKSTREAM_KAFKA_BOOTSTRAP ?? '127.0.0.1:19092'],
  deserializers: stringDeserializers
})
const stream = await consumer.consume({
  topics: ['scores'],
  mode: 'committed', // from the group's offsets,
  fallbackMode: 'earliest', // or from the start; read committed is its default
  autocommit: false
})
const seen = new Set() // in a real service: a unique key in your database
for await (const message of stream) {
  const score = JSON.parse(message.value)
  const batch = score.predictions.batch // null where it could not be scored
  if (batch?.cluster_name === 'long' && !seen.has(score.score_id)) {
    seen.add(score.score_id)
    console.log(score.session_id, batch.conversion, batch.revenue)
  }
  await message.commit()
}
