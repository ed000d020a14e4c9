-- Puts an entry aside as it lies in the stream now: what a writer read of it before may hold rows of somebody who was
-- erased since (G7).
-- KEYS: the stream, where to. ARGV: the group, the entry, how many are kept there, for how many seconds.
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
if #found > 0 then
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], '*', unpack(found[1][2]))
    redis.call('EXPIRE', KEYS[2], ARGV[4])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
return #found
