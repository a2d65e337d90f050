-- Write one step of one partition, all or nothing.
-- KEYS meta, sessions, due, outbox, online
-- ARGV token, applied offset expected ("" = none), applied offset, online state ("" = unchanged),
--      n fields of meta, (name, value)…, n sessions, (id, state, due)…, n deleted, id…,
--      n records, (source offset, topic, key, value, checksum)…
-- Returns "OK", "GONE" (there is no metadata), "FENCED" (the token is not ours) or "MOVED" (the applied offset is not the expected one)
local token = redis.call('HGET', KEYS[1], 'token')
if not token then
  return 'GONE'
end
if token ~= ARGV[1] then
  return 'FENCED'
end
if (redis.call('HGET', KEYS[1], 'applied') or '') ~= ARGV[2] then
  return 'MOVED'
end
redis.call('HSET', KEYS[1], 'applied', ARGV[3])
if ARGV[4] ~= '' then
  redis.call('SET', KEYS[5], ARGV[4])
end
local at = 5
local function count()
  at = at + 1
  return tonumber(ARGV[at - 1])
end
local n = count()
if n > 0 then
  redis.call('HSET', KEYS[1], unpack(ARGV, at, at + 2 * n - 1))
  at = at + 2 * n
end
n = count()
local states, dues = {}, {}
for i = 1, n do
  local id = ARGV[at]
  states[#states + 1] = id
  states[#states + 1] = ARGV[at + 1]
  dues[#dues + 1] = ARGV[at + 2]
  dues[#dues + 1] = id
  at = at + 3
  if #states == 2000 or i == n then
    redis.call('HSET', KEYS[2], unpack(states))
    redis.call('ZADD', KEYS[3], unpack(dues))
    states, dues = {}, {}
  end
end
n = count()
for first = at, at + n - 1, 2000 do
  local last = math.min(first + 1999, at + n - 1)
  redis.call('HDEL', KEYS[2], unpack(ARGV, first, last))
  redis.call('ZREM', KEYS[3], unpack(ARGV, first, last))
end
at = at + n
n = count()
local offset, number = '', 0
for _ = 1, n do
  if ARGV[at] == offset then
    number = number + 1
  else
    offset, number = ARGV[at], 1
  end
  redis.call('XADD', KEYS[4], offset .. '-' .. number, 't', ARGV[at + 1], 'k', ARGV[at + 2], 'v', ARGV[at + 3],
    'c', ARGV[at + 4])
  at = at + 5
end
redis.call('HSET', KEYS[1], 'outbox', redis.call('XLEN', KEYS[4]))
return 'OK'
