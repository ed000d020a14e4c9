-- Takes entries out of a shard's stream and its group: they are committed. Each counts once, also when two writers
-- committed it. The weight of a stream without entries is nothing, whatever was counted.
-- KEYS: the stream, its weight. ARGV: the group, then of each entry its id and what it weighed. Answers how many went.
local went, gone = 0, 0
for n = 2, #ARGV, 2 do
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[n])
    if redis.call('XDEL', KEYS[1], ARGV[n]) == 1 then
        went = went + tonumber(ARGV[n + 1])
        gone = gone + 1
    end
end
if redis.call('XLEN', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[2])
elseif gone > 0 and redis.call('DECRBY', KEYS[2], went) < 0 then
    redis.call('SET', KEYS[2], '0')
end
return gone
