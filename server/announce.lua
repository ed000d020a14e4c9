-- Tells all gateways of a change.
-- KEYS: the control stream. ARGV: the entry, about how many entries are kept. Answers the entry's id.
-- What is trimmed is no loss: a gateway that has not read it is told so when it renews, and reads everything anew.
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[1])
