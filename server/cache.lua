-- Caches positions of a session, unless the session has changed since they were masked (G3): a flush that was slow
-- on its way must not bring back what a tightening has dropped.
-- KEYS: the snapshots, the revision that they may not be older than. ARGV: the revision they are of, how long they are
-- kept (s), then member number, position, member number, … Answers 1, or 0 for nothing cached.
local floor = tonumber(redis.call('GET', KEYS[2]) or '0')
if tonumber(ARGV[1]) < floor then return 0 end
for n = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[n], ARGV[n + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
