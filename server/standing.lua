-- Who has a lease, and how far each of them is (G3).
-- KEYS: the set of gateways, what server this is. ARGV: what a lease's key begins with.
-- Answers: for how many ms this server has been asked for leases (-1: it is new), then gateway, place, gateway, …
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local age = -1
if redis.call('HGET', KEYS[2], 'server') == server then
    age = now - tonumber(redis.call('HGET', KEYS[2], 'since'))
end
local answer = {age}
for _, gateway in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local place = redis.call('GET', ARGV[1] .. gateway)
    if place then
        answer[#answer + 1] = gateway
        answer[#answer + 1] = place
    end
end
return answer
