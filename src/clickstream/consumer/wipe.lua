-- Forget a partition's state, keeping the owner: it will be built anew from the log.
-- KEYS meta, sessions, due, outbox, online
-- ARGV token
local token = redis.call('HGET', KEYS[1], 'token')
if not token then
  return 'GONE'
end
if token ~= ARGV[1] then
  return 'FENCED'
end
local generation = redis.call('HGET', KEYS[1], 'generation')
local id = redis.call('HGET', KEYS[1], 'transactional_id')
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'generation', generation or -1, 'transactional_id', id or '')
return 'OK'
