-- Take a partition over: our token from now on, and in the same moment all that the last owner left.
-- KEYS meta, sessions, due, outbox, online
-- ARGV token, group generation, transactional id, proven ("1": the group began anew and we are its member)
-- A key of a type that we never write is damage: metadata of such a type are dropped, another key counts as -1.
-- Returns {"STALE", generation found} or
--         {"OK", meta as a flat list, outbox entries, number of sessions, number of due times, online's bytes}
local function is(key, kind)
  local found = redis.call('TYPE', key).ok
  return found == kind or found == 'none'
end
if not is(KEYS[1], 'hash') then
  redis.call('DEL', KEYS[1])
end
local found = tonumber(redis.call('HGET', KEYS[1], 'generation') or '-1') or -1
if tonumber(ARGV[2]) < found and ARGV[4] ~= '1' then
  return {'STALE', found}
end
local meta = redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'generation', ARGV[2], 'transactional_id', ARGV[3])
local sessions, due, outbox, online = -1, -1, {}, ''
if is(KEYS[2], 'hash') then
  sessions = redis.call('HLEN', KEYS[2])
end
if is(KEYS[3], 'zset') then
  due = redis.call('ZCARD', KEYS[3])
end
if is(KEYS[4], 'stream') then
  outbox = redis.call('XRANGE', KEYS[4], '-', '+')
else
  sessions = -1
end
if is(KEYS[5], 'string') then
  online = redis.call('GET', KEYS[5]) or ''
else
  sessions = -1
end
return {'OK', meta, outbox, sessions, due, online}
