-- Takes writers out of a shard's group that have nothing pending: the one that leaves, and all that were not heard of
-- for long. With a writer its pending entries would go, and nobody would be given them any more.
-- KEYS: the stream. ARGV: the group, who leaves (or nothing), for how many ms the others were not heard of.
-- Answers how many went.
local gone = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local of = {}
    for n = 1, #consumer, 2 do of[consumer[n]] = consumer[n + 1] end
    if of.pending == 0 and (of.name == ARGV[2] or of.idle > tonumber(ARGV[3])) then
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
        gone = gone + 1
    end
end
return gone
