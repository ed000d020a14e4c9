-- Adds a batch to a shard's stream, unless the stream would then weigh more than its bound: whoever comes too late
-- keeps the batch. An empty stream takes anything. Without a payload it only asks.
-- KEYS: the stream, its weight. ARGV: the bound, the gateway, what the batch weighs, the payload.
-- Answers the entry's id, or nothing, and what the stream weighs now.
local length = redis.call('XLEN', KEYS[1])
local weighs = length > 0 and tonumber(redis.call('GET', KEYS[2]) or '0') or 0
if #ARGV < 4 or length > 0 and weighs + tonumber(ARGV[3]) > tonumber(ARGV[1]) then
    return {false, weighs}
end
local id = redis.call('XADD', KEYS[1], '*', 'g', ARGV[2], 'd', ARGV[4])
weighs = weighs + tonumber(ARGV[3])
redis.call('SET', KEYS[2], string.format('%d', weighs))
return {id, weighs}
