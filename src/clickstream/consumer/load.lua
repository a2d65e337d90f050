-- The states that a step needs, in one round trip.
-- KEYS meta, sessions, due
-- ARGV token, largest due time wanted, how many of those due first besides, session ids…
-- Returns {"FENCED"}, {"DAMAGED", session id} (due, and without a state) or {"OK", session id, state, …} (a session id may come twice)
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return {'FENCED'}
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
for i = 4, #ARGV do
  named[#named + 1] = ARGV[i]
end
add(named, false)
add(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[2]), true)
if tonumber(ARGV[3]) > 0 then
  add(redis.call('ZRANGE', KEYS[3], 0, tonumber(ARGV[3]) - 1), true)
end
if lost then
  return {'DAMAGED', lost}
end
return answer
