-- A gateway asks for its lease, and says how far in the control stream it is (G3).
-- KEYS: the control stream, the set of gateways, what server this is, the gateway's lease.
-- ARGV: the gateway, its place, the lease in ms, 1 if it never let its lease go.
-- Answers: granted (1 or 0), the stream's last id, the gateways that have a lease, for how many ms this server has
-- been asked for leases.
local place, lease_ms = ARGV[2], tonumber(ARGV[3])
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)

-- Which server this is, and since when it is asked: a new one does not know who has a lease of the old one.
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if redis.call('HGET', KEYS[3], 'server') ~= server then
    redis.call('HSET', KEYS[3], 'server', server, 'since', string.format('%.0f', now))
end

local last, first, deleted, whole = '0-0', '0-0', '0-0', true
if redis.call('EXISTS', KEYS[1]) == 1 then
    local info, of = redis.call('XINFO', 'STREAM', KEYS[1]), {}
    for n = 1, #info, 2 do of[info[n]] = info[n + 1] end
    last, deleted, whole = of['last-generated-id'], of['max-deleted-entry-id'], of['entries-added'] == of['length']
    first = of['length'] > 0 and of['recorded-first-entry-id'] or last
end

local function parts(id)
    local ms, number = string.match(id, '^(%d+)-(%d+)$')
    return tonumber(ms), tonumber(number)
end
local function after(a, b)
    local a_ms, a_number = parts(a)
    local b_ms, b_number = parts(b)
    return a_ms > b_ms or (a_ms == b_ms and a_number > b_number)
end

-- What is trimmed does not count as deleted in Redis: who is before the first entry of a stream that is not whole may
-- have missed some.
local function missed(since)
    return after(deleted, since) or (not whole and after(first, since))
end

-- Whoever kept its lease goes on, wherever it is: others wait for it. Whoever comes anew must know all there is.
-- Nobody may have missed an entry that is not there any more. What counts is the place that was said last time: since
-- then a read may have passed over what was gone by then.
local granted = 0
if ARGV[4] == '1' then
    local said = redis.call('GET', KEYS[4])
    if said and not missed(said) then granted = 1 end
elseif place == last then
    granted = 1
end
if granted == 1 then
    redis.call('SET', KEYS[4], place, 'PX', lease_ms)
    redis.call('ZADD', KEYS[2], now + lease_ms, ARGV[1])
end
-- The lease counts from now, so by this time the keys of these are gone.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 10 * lease_ms)
local age = now - tonumber(redis.call('HGET', KEYS[3], 'since'))
return {granted, last, redis.call('ZRANGEBYSCORE', KEYS[2], now, '+inf'), age}
