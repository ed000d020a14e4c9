-- Drops cached positions of a session, and refuses what was masked before (G3).
-- KEYS: the snapshots, the revision that they may not be older than. ARGV: the revision, how long it is remembered (s),
-- then the members; none: all.
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[2]) or '0') then redis.call('SET', KEYS[2], ARGV[1]) end
redis.call('EXPIRE', KEYS[2], ARGV[2])
if #ARGV == 2 then return redis.call('DEL', KEYS[1]) end
local gone = 0
for n = 3, #ARGV do gone = gone + redis.call('HDEL', KEYS[1], ARGV[n]) end
return gone
