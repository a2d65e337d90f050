-- The states that a step needs, in one round trip.
-- KEYS meta, sessions, due
-- ARGV token, applied offset expected ("" = none), number of open sessions expected, largest due time wanted,
--      how many of those due first besides, session ids…
-- Returns {"GONE"} (there is no metadata), {"FENCED"}, {"MOVED"} (the applied offset is not the expected one),
--         {"DAMAGED", what is missing} or {"OK", session id, state, …} (a session id may come twice)
local token = redis.call('HGET', KEYS[1], 'token')
if not token then
  return {'GONE'}
end
if token ~= ARGV[1] then
  return {'FENCED'}
end
if (redis.call('HGET', KEYS[1], 'applied') or '') ~= ARGV[2] then
  return {'MOVED'}
end
local states, dues = redis.call('HLEN', KEYS[2]), redis.call('ZCARD', KEYS[3])
if states ~= tonumber(ARGV[3]) or dues ~= states then
  return {'DAMAGED', ARGV[3] .. ' sessions are open, and there are ' .. states .. ' states and ' .. dues .. ' due times'}
end
local answer = {'OK'}
local lost = nil
local function add(ids, all)
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    local states = redis.call('HMGET', KEYS[2], unpack(ids, first, last))
    for i = 1, #states do
      if states[i] then
        answer[#answer + 1] = ids[first + i - 1]
        answer[#answer + 1] = states[i]
      elseif all then
        lost = ids[first + i - 1]
      end
    end
  end
end
local named = {}
for i = 6, #ARGV do
  named[#named + 1] = ARGV[i]
end
add(named, false)
add(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[4]), true)
if tonumber(ARGV[5]) > 0 then
  add(redis.call('ZRANGE', KEYS[3], 0, tonumber(ARGV[5]) - 1), true)
end
if lost then
  return {'DAMAGED', 'session ' .. lost .. ' is due and has no state'}
end
return answer
