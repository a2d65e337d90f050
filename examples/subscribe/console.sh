kafka-console-consumer.sh --topic scores --isolation-level read_committed \
  --bootstrap-server "${CLICKSTREAM_KAFKA_BOOTSTRAP:-127.0.0.1:19092}" \
  --from-beginning --timeout-ms 10000
