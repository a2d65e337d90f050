-- Forget what was published: records whose source offset is before the committed offset.
-- KEYS meta, outbox
-- ARGV token, committed offset
local token = redis.call('HGET', KEYS[1], 'token')
if not token then
  return 'GONE'
end
if token ~= ARGV[1] then
  return 'FENCED'
end
redis.call('XTRIM', KEYS[2], 'MINID', '=', ARGV[2] .. '-0')
redis.call('HSET', KEYS[1], 'published', ARGV[2], 'outbox', redis.call('XLEN', KEYS[2]))
return 'OK'
