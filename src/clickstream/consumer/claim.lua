-- Take a partition over: our token from now on, and in the same moment all that the last owner left.
-- KEYS meta, sessions, due, outbox, online
-- ARGV token, group generation, transactional id, proven ("1": the group began anew and we are its member)
-- Returns {"STALE", generation found} or
--         {"OK", meta as a flat list, outbox entries, number of sessions, number of due times, online's bytes}
local found = tonumber(redis.call('HGET', KEYS[1], 'generation') or '-1')
if tonumber(ARGV[2]) < found and ARGV[4] ~= '1' then
  return {'STALE', found}
end
local meta = redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'generation', ARGV[2], 'transactional_id', ARGV[3])
return {
  'OK', meta, redis.call('XRANGE', KEYS[4], '-', '+'),
  redis.call('HLEN', KEYS[2]), redis.call('ZCARD', KEYS[3]), redis.call('GET', KEYS[5]) or ''
}
