-- One call for the requests that arrived together: releases first, then each ask takes from all of its buckets or none.
-- The rules are those of LocalBuckets in limits.py; the clock is Redis's own. A subject's row is read and written once
-- a call, for however many asks and releases it has.
local batch = cmsgpack.unpack(ARGV[1])
local asks, releases, lease, renewals = batch[1], batch[2], batch[3], batch[4]
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local EXPIRE, RENEW = 125, 60

local rows = {}

local function row_of(subject)
  local row = rows[subject]
  if not row then
    local found = redis.call('HMGET', 'limit:' .. subject, 'requests', 'requests_at', 'tokens', 'tokens_at', 'renewed')
    row = {
      requests = tonumber(found[1] or nil), requests_at = tonumber(found[2] or nil),
      tokens = tonumber(found[3] or nil), tokens_at = tonumber(found[4] or nil),
      renewed = tonumber(found[5] or nil) or 0
    }
    rows[subject] = row
  end
  return row
end

local function level(subject, kind, limit)
  local row = row_of(subject)
  if not row[kind] then return limit end
  return math.min(limit, row[kind] + (now - row[kind .. '_at']) * limit / 60)
end

local function store(subject, kind, value)
  local row = row_of(subject)
  row[kind], row[kind .. '_at'], row.is_changed = value, now, true
end

local function count_in_flight(subject)
  local row = row_of(subject)
  if not row.in_flight then
    redis.call('ZREMRANGEBYSCORE', 'flight:' .. subject, '-inf', now)
    row.in_flight = redis.call('ZCARD', 'flight:' .. subject)
  end
  return row.in_flight
end

local function write(subject, row)
  local key, fields = 'limit:' .. subject, {}
  for _, kind in ipairs({'requests', 'tokens'}) do
    if row[kind] then
      fields[#fields + 1], fields[#fields + 2] = kind, string.format('%.6f', row[kind])
      fields[#fields + 1], fields[#fields + 2] = kind .. '_at', string.format('%.6f', row[kind .. '_at'])
    end
  end
  local is_old = now - row.renewed > RENEW
  if is_old then fields[#fields + 1], fields[#fields + 2] = 'renewed', string.format('%.0f', now) end
  redis.call('HSET', key, unpack(fields))
  if is_old then redis.call('EXPIRE', key, EXPIRE) end
end

for _, release in ipairs(releases) do
  local id, subject, asked, used, limit = release[1], release[2], release[3], release[4], release[5]
  redis.call('ZREM', 'flight:' .. subject, id)
  local unused = math.min(asked, limit) - used
  if unused > 0 then
    store(subject, 'tokens', math.min(limit, level(subject, 'tokens', limit) + unused))
  end
end

for _, renewal in ipairs(renewals) do
  local key = 'flight:' .. renewal[1]
  for _, id in ipairs(renewal[2]) do redis.call('ZADD', key, now + lease, id) end
  redis.call('EXPIRE', key, lease)
end

local replies = {}
for index, ask in ipairs(asks) do
  local id, tokens, subjects = ask[1], ask[2], ask[3]
  local tight = {requests = {-1, -1}, tokens = {-1, -1}}
  local takes = {}
  local refused, wait = '', 0
  for _, row in ipairs(subjects) do
    local subject, concurrency = row[1], row[4]
    if concurrency >= 0 and count_in_flight(subject) >= concurrency then
      refused, wait = 'concurrency', 1
      break
    end
    for _, bucket in ipairs({{'requests', row[2], 1}, {'tokens', row[3], math.max(1, math.min(tokens, row[3]))}}) do
      local kind, limit, amount = bucket[1], bucket[2], bucket[3]
      if limit >= 0 and refused == '' then
        local left = level(subject, kind, limit) - amount
        if left < 0 then
          refused, wait = kind, -left * 60 / math.max(1, limit)
        else
          takes[#takes + 1] = {subject, kind, left}
          local floor = math.floor(left)
          if tight[kind][1] < 0 or floor < tight[kind][2] then tight[kind] = {limit, floor} end
        end
      end
    end
    if refused ~= '' then break end
  end
  if refused == '' then
    for _, take in ipairs(takes) do store(take[1], take[2], take[3]) end
    for _, row in ipairs(subjects) do
      if row[4] >= 0 then
        redis.call('ZADD', 'flight:' .. row[1], now + lease, id)
        redis.call('EXPIRE', 'flight:' .. row[1], lease)
        row_of(row[1]).in_flight = row_of(row[1]).in_flight + 1
      end
    end
  end
  replies[index] = {
    refused, wait, tight.requests[1], tight.requests[2], tight.tokens[1], tight.tokens[2]
  }
end
for subject, row in pairs(rows) do
  if row.is_changed then write(subject, row) end
end
return cmsgpack.pack(replies)
