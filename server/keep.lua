-- A writer at work says that it lives: what it holds of a shard has been idle for no time. Never takes what is another's.
-- KEYS: the stream. ARGV: the group, the writer, how many at most. Answers how many it holds.
local ids = {}
for _, held in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[3], ARGV[2])) do
    ids[#ids + 1] = held[1]
end
if #ids > 0 then
    ids[#ids + 1] = 'JUSTID'
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(ids))
end
return math.max(#ids - 1, 0)
