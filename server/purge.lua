-- Takes one person's rows out of a stream of batches (G7). XDEL only marks an entry: its bytes stay in the stream's
-- node, and in every copy of it, until the last entry of the node goes. So the stream is written anew, with the same
-- ids: whoever is told of them, or deletes them once they are committed, need not know. Entries that a writer was
-- reading are given out once more; their rows are there already, or are stored now, once (G2).
-- KEYS: the stream, a free name on its slot. ARGV: the person, 8 bytes as rows have it. Answers how many rows went.
local stream, fresh, person = KEYS[1], KEYS[2], ARGV[1]
local needle = '\0\0\0\8' .. person
local gone = 0

-- Where the row of binary COPY that begins at `at` ends, and its second column; nothing if there is no row.
local function row_at(data, at)
    if at + 1 > #data then return nil end
    local columns, user = struct.unpack('>h', data, at), nil
    local place = at + 2
    for column = 1, columns do
        if place + 3 > #data then return nil end
        local length = struct.unpack('>i4', data, place)
        place = place + 4
        if length > 0 then
            if column == 2 then user = string.sub(data, place, place + length - 1) end
            place = place + length
        end
        if place > #data + 1 then return nil end
    end
    if columns < 1 then return nil end
    return place, user
end

-- The rows of everybody else. Of what cannot be taken apart nothing stays: PostgreSQL does not take it either.
local function without(data)
    if not string.find(data, needle, 1, true) then return data end
    local kept, at = {}, 1
    while at <= #data do
        local place, user = row_at(data, at)
        if not place then
            gone = gone + 1
            return ''
        end
        if user == person then
            gone = gone + 1
        else
            kept[#kept + 1] = string.sub(data, at, place - 1)
        end
        at = place
    end
    return table.concat(kept)
end

if redis.call('EXISTS', stream) == 0 then return 0 end
redis.call('DEL', fresh)
redis.call('XGROUP', 'CREATE', fresh, 'none', '0', 'MKSTREAM') -- a stream of no entries cannot be made otherwise
redis.call('XGROUP', 'DESTROY', fresh, 'none')
local last = '-'
while true do
    local entries = redis.call('XRANGE', stream, last, '+', 'COUNT', 256)
    for _, entry in ipairs(entries) do
        local id, fields, empty = entry[1], entry[2], false
        for n = 1, #fields, 2 do
            if fields[n] == 'd' then
                local before = fields[n + 1]
                fields[n + 1] = without(before)
                empty = before ~= '' and fields[n + 1] == ''
            end
        end
        if not empty then redis.call('XADD', fresh, id, unpack(fields)) end
        last = '(' .. id
    end
    if #entries < 256 then break end
end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    for n = 1, #group, 2 do
        if group[n] == 'name' then redis.call('XGROUP', 'CREATE', fresh, group[n + 1], '0') end
    end
end
local info = redis.call('XINFO', 'STREAM', stream)
for n = 1, #info, 2 do
    if info[n] == 'last-generated-id' then redis.call('XSETID', fresh, info[n + 1]) end
end
local expiry = redis.call('PTTL', stream)
if expiry > 0 then redis.call('PEXPIRE', fresh, expiry) end
redis.call('RENAME', fresh, stream)
return gone
