-- Puts an entry aside as it lies in the stream now: what a writer read of it before may hold rows of somebody who was
-- erased since (G7). Of a field that is longer than its bound only the begin is kept. It goes before it is put aside:
-- a Redis without memory allows that order alone.
-- KEYS: the stream, its weight, where to. ARGV: the group, the entry, what it weighed, how many are kept there, for how
-- many seconds, how much of a field, and why. Answers whether it was there.
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if #found == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
if redis.call('XLEN', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[2])
elseif redis.call('DECRBY', KEYS[2], ARGV[3]) < 0 then
    redis.call('SET', KEYS[2], '0')
end
local kept, fields = {'why', ARGV[7]}, found[1][2]
for n = 1, math.min(#fields, 16) do kept[#kept + 1] = string.sub(fields[n], 1, tonumber(ARGV[6])) end
redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[4], '*', unpack(kept))
redis.call('EXPIRE', KEYS[3], ARGV[5])
return 1
