-- Dissector of GB/T 32960.3, 2016 (##) and 2025 ($$), by the tables above. Install: put this file into the folder of
-- personal Lua plugins (Help, About, Folders), or: tshark -X lua_script:FILE. TCP port 32960, any other TCP port by its
-- content, and packets without a network around them as link type USER0 (147).

local PORT = 32960
local MARKS = { ["##"] = true, ["$$"] = true }
local HEADER, MAX_UNIT = TABLES.header_size, TABLES.max_unit
local NAMES, WORDS = TABLES.names, TABLES.words
local xor = bit and bit.bxor or bit32 and bit32.bxor or load("return function(a, b) return a ~ b end")()

local proto = Proto("gbt32960", "GB/T 32960")
local bare = Proto("gbt32960_bare", "GB/T 32960 without a network")

-- --- fields, from the tables -----------------------------------------------------------------------------------------

local fields, list = {}, {}

local function declare(place, name, make, ...)
    if not fields[place] then
        fields[place] = make("gbt32960." .. place, name, ...)
        list[#list + 1] = fields[place]
    end
end

local declare_row

local function declare_layout(layout)
    if layout.length then declare_row(layout.length) end
    for _, row in ipairs(layout.rows) do declare_row(row) end
end

function declare_row(row)
    if row.kind == "number" then
        declare(row.field, row.name, row.signed and ProtoField.int32 or ProtoField.uint32)
        if row.unit then declare(row.field .. ".value", row.name, ProtoField.double) end
        for _, part in ipairs(row.bits or {}) do
            declare(part.field, part.name, part.width == 1 and ProtoField.bool or ProtoField.uint32)
        end
        return
    end
    declare(row.field, row.name, (row.kind == "blob" or row.kind == "time") and ProtoField.bytes
        or row.kind == "list" and ProtoField.none or ProtoField.string)
    for _, inner in ipairs({ "count", "length", "packs", "item", "command", "level", "arguments", "text" }) do
        if row[inner] then declare_row(row[inner]) end
    end
    if row.group then
        declare(row.field .. ".entry", row.group.name, ProtoField.none)
        declare_layout(row.group)
    end
    for _, item in pairs(row.items or {}) do declare_row(item) end
end

for _, edition in pairs(TABLES.editions) do
    for _, body in pairs(edition.bodies) do declare_layout(body) end
    declare_layout(edition.user)
    for _, command in pairs(edition.commands) do
        if command.layout then declare_layout(command.layout) end
        if command.answer then declare_layout(command.answer) end
    end
end
declare_row(TABLES.id)
for _, name in ipairs({ "start", "vin", "time" }) do declare(name, NAMES[name], ProtoField.string) end
for _, name in ipairs({ "command", "response", "encryption", "body_type", "bcc" }) do
    declare(name, NAMES[name], ProtoField.uint8, base.HEX)
end
declare("length", NAMES.length, ProtoField.uint16)
for _, name in ipairs({ "data_unit", "rest", "not_decoded" }) do declare(name, NAMES[name], ProtoField.bytes) end
declare("bcc_ok", NAMES.bcc .. " " .. WORDS.right, ProtoField.bool)
proto.fields = list

local experts = {
    bcc = ProtoExpert.new("gbt32960.bcc.wrong", NAMES.bcc .. ": " .. WORDS.wrong, expert.group.CHECKSUM, expert.severity.ERROR),
    ends = ProtoExpert.new("gbt32960.ends", NAMES.not_decoded, expert.group.MALFORMED, expert.severity.ERROR),
    illegal = ProtoExpert.new("gbt32960.illegal", WORDS.illegal, expert.group.PROTOCOL, expert.severity.WARN),
    abnormal = ProtoExpert.new("gbt32960.abnormal", WORDS.abnormal, expert.group.PROTOCOL, expert.severity.NOTE),
    reserved = ProtoExpert.new("gbt32960.reserved", NAMES.reserved, expert.group.RESERVED or expert.group.PROTOCOL,
        expert.severity.NOTE),
    unknown = ProtoExpert.new("gbt32960.unknown", NAMES.rest, expert.group.UNDECODED, expert.severity.WARN),
}
proto.experts = { experts.bcc, experts.ends, experts.illegal, experts.abnormal, experts.reserved, experts.unknown }

-- --- a reader of rows: `self.at` is the next byte; without a tree it only tries --------------------------------------

local Reader = {}
Reader.__index = Reader

local function reader(tvb, at, stop)
    return setmetatable({ tvb = tvb, at = at, stop = stop }, Reader)
end

-- Raises the string "ends" when the data end before `size` more bytes.
function Reader:take(size)
    if self.at + size > self.stop then error("ends", 0) end
    local range = size > 0 and self.tvb(self.at, size) or nil
    self.at = self.at + size
    return range
end

local function part_of(raw, shift, width)
    return math.floor(math.floor(raw / 2 ^ shift) % 2 ^ width)
end

local DIGITS = { [1] = "%d", [10] = "%.1f", [100] = "%.2f", [1000] = "%.3f", [10000] = "%.4f", [1000000] = "%.6f" }

local function legal(row, raw)
    return raw >= row.lo and raw <= row.hi
end

-- Text, value in the unit (or nil), expert (or nil).
local function describe(row, raw, negative)
    if row.words and row.words[raw] then return row.words[raw] end
    if row.bits then return string.format("0x%0" .. 2 * row.size .. "X", raw) end
    if legal(row, raw) and (not row.words or row.open) then
        if row.hexadecimal then return string.format("0x%0" .. 2 * row.size .. "X", raw) end
        local value = (raw - row.offset) * (row.step or 1) / row.per_unit
        if negative then value = -value end
        local text = string.format(not row.step and DIGITS[row.per_unit] or "%.10g", value)
        return row.unit and text .. " " .. row.unit or text, row.unit and value
    end
    if raw == row.invalid or raw == row.absent then return WORDS.invalid end
    if raw == row.abnormal then return WORDS.abnormal, nil, experts.abnormal end
    return string.format("%s %d..%d", WORDS.illegal, row.lo, row.hi), nil, experts.illegal
end

local function add_bits(item, range, row, raw)
    local size = 8 * row.size
    for _, part in ipairs(row.bits) do
        local value = part_of(raw, part.shift, part.width)
        local pattern = string.rep(".", size - part.shift - part.width)
        for at = part.width - 1, 0, -1 do pattern = pattern .. string.format("%d", part_of(value, at, 1)) end
        pattern = (pattern .. string.rep(".", part.shift)):gsub("(....)", "%1 ")
        local text
        local child
        if part.words or part.width > 1 then
            child = item:add(fields[part.field], range, value)
            text = part.words and part.words[value] or string.format("%d", value)
        else
            local set = (value == 1) ~= part.inverted
            child = item:add(fields[part.field], range, set)
            text = set and WORDS.yes or WORDS.no
        end
        child:set_text(pattern .. "= " .. part.name .. ": " .. text)
    end
    local reserved = 0
    for at = 0, size - 1 do
        if part_of(row.reserved, at, 1) == 1 and part_of(raw, at, 1) == 1 then reserved = reserved + 2 ^ at end
    end
    if reserved > 0 then
        item:add_proto_expert_info(experts.reserved, string.format("%s: 0x%X", NAMES.reserved, reserved))
    end
end

function Reader:number(tree, row, position)
    local range = self:take(row.size)
    local raw = row.signed and range:int() or range:uint()
    self.values = self.values or {}
    self.values[row.key] = raw
    if not tree then return raw end
    local negative = row.sign and math.floor((self.values[row.sign.key] or 0) / row.sign.mask) % 2 == 1
    local text, value, remark = describe(row, raw, negative)
    local item = tree:add(fields[row.field], range, raw)
    local name = position and row.name .. " " .. position or row.name
    item:set_text(string.format(text == tostring(raw) and "%s: %s" or "%s: %s (%d)", name, text, raw))
    if value then item:add(fields[row.field .. ".value"], range, value):set_generated() end
    if row.bits then add_bits(item, range, row, raw) end
    if remark then item:add_proto_expert_info(remark, name .. ": " .. text) end
    return raw
end

local function printable(range, pad)
    return (range:bytes():raw():gsub(pad and "[%z" .. pad .. "]+$" or "%z+$", ""))
end

function Reader:text(tree, row, size, position)
    if size == 0 then return end
    local range = self:take(size)
    if tree then
        local text = printable(range, row.pad)
        local item = tree:add(fields[row.field], range, text)
        local name = position and row.name .. " " .. position or row.name
        item:set_text(name .. ": " .. (text:find("[%z\1-\31\127-\255]") and tostring(range:bytes()) or text))
    end
end

local MONTHS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function time_text(range)
    local y, m, d = range(0, 1):uint(), range(1, 1):uint(), range(2, 1):uint()
    local H, M, S = range(3, 1):uint(), range(4, 1):uint(), range(5, 1):uint()
    local days = MONTHS[m] or 0
    if m == 2 and y % 4 == 0 then days = 29 end
    if y > 99 or d < 1 or d > days or H > 23 or M > 59 or S > 59 then return nil end
    return string.format("20%02d-%02d-%02dT%02d:%02d:%02d+08:00", y, m, d, H, M, S)
end

function Reader:time(tree)
    local range = self:take(6)
    if not tree then return end
    local text = time_text(range)
    local item = tree:add(fields.time, range, text or tostring(range:bytes()))
    item:set_text(NAMES.time .. ": " .. (text or WORDS.impossible))
    if not text then item:add_proto_expert_info(experts.illegal, WORDS.impossible) end
end

local kinds = {}

kinds.number = Reader.number
function kinds.text(self, tree, row) self:text(tree, row, row.size) end
function kinds.time(self, tree, row)
    local range = self:take(row.size)
    if tree then tree:add(fields[row.field], range):set_text(row.name .. ": " .. (time_text(range) or WORDS.impossible)) end
end
function kinds.blob(self, tree, row)
    local size = self:number(tree, row.count)
    local range = self:take(size)
    if tree and range then tree:add(fields[row.field], range) end
end

function kinds.list(self, tree, row)
    local count = self:number(tree, row.count)
    if count == row.count.invalid or count == row.count.abnormal then return end
    local begin = self.at
    local subtree = tree and count > 0 and tree:add(fields[row.field], self.tvb(begin, 0))
    if subtree then subtree:set_text(string.format("%s: %d", row.name, count)) end
    for position = 1, count do
        if row.item then
            self:number(subtree, row.item, position)
        else
            local from = self.at
            local entry = subtree and subtree:add(fields[row.field .. ".entry"], self.tvb(from, 0))
            if entry then entry:set_text(string.format("%s %d", row.group.name, position)) end
            self:rows(entry, row.group)
            if entry then entry:set_len(self.at - from) end
        end
    end
    if subtree then subtree:set_len(self.at - begin) end
end

function kinds.codes(self, tree, row)
    local count = self:number(tree, row.count)
    local length = self:number(tree, row.length)
    for position = 1, count do self:text(tree, row, length, position) end
end

function kinds.pack_codes(self, tree, row)
    local count, total = self:number(tree, row.count), 0
    for position = 1, count do total = total + self:number(tree, row.packs, position) end
    for position = 1, total do self:text(tree, row, row.size, position) end
end

function kinds.parameters(self, tree, row)
    local count = self:number(tree, row.count)
    if count == row.count.invalid or count == row.count.abnormal then return end
    local lengths = {}
    for _ = 1, count do
        local id = self:number(tree, TABLES.id)
        local item = row.items[id]
        if not item or item.kind == "parameter" and not lengths[item.of] then error("ends", 0) end
        if item.kind == "parameter" then
            self:text(tree, item, lengths[item.of])
        else
            lengths[id] = kinds[item.kind](self, tree, item)
        end
    end
end

function kinds.control(self, tree, row)
    local id = self:number(tree, row.command)
    if id == row.alarm and self.at < self.stop then
        self:number(tree, row.level)
        self:text(tree, row.text, self.stop - self.at)
    else
        self:text(tree, row.arguments, self.stop - self.at)
    end
end

-- A body of the maker's own has its length in front; one of another length is not the one that is declared.
function Reader:rows(tree, layout)
    if layout.length and self:number(tree, layout.length) ~= layout.size then error("ends", 0) end
    for _, row in ipairs(layout.rows) do kinds[row.kind](self, tree, row) end
end

function Reader:bodies(tree, edition)
    while self.at < self.stop do
        local begin = self.at
        local id = self.tvb(begin, 1):uint()
        local layout = edition.bodies[id] or id >= 0x80 and id < 0xFF and edition.user
        if not layout then return end
        local item
        if tree then
            item = tree:add(fields.body_type, self.tvb(begin, 1), id)
            item:set_text(string.format("%s (%02X)", layout.name, id))
        end
        self.at = begin + 1
        self:rows(item, layout)
        if item then item:set_len(self.at - begin) end
    end
end

-- --- packets ---------------------------------------------------------------------------------------------------------

local function content(self, tree, edition, command, response)
    if command.timed then self:time(tree) end
    local layout = response ~= 0xFE and command.answer or command.layout
    if command.reports then self:bodies(tree, edition) elseif layout then self:rows(tree, layout) end
end

-- An answer may hold nothing, the time alone, or the whole unit of the command; one that fits none of them stays as it is.
local function unit(tvb, tree, edition, command, response, stop)
    local self = reader(tvb, HEADER, stop)
    local size = stop - HEADER
    if size == 0 and response ~= 0xFE then return end
    if response ~= 0xFE and size == 6 then
        self:time(tree)
        return
    end
    if response ~= 0xFE and not pcall(content, reader(tvb, HEADER, stop), nil, edition, command, response) then
        tree:add(fields.data_unit, tvb(HEADER, size))
        return
    end
    local ok, why = pcall(content, self, tree, edition, command, response)
    if not ok and why ~= "ends" then error(why, 0) end
    if self.at < stop then
        local item = tree:add(ok and fields.rest or fields.not_decoded, tvb(self.at, stop - self.at))
        item:add_proto_expert_info(ok and experts.unknown or experts.ends)
    elseif not ok then
        tree:add_proto_expert_info(experts.ends)
    end
end

local function check(tvb, tree, stop)
    local right = 0
    for _, byte in ipairs({ tvb:raw(2, stop - 2):byte(1, 4096) }) do right = xor(right, byte) end
    for from = 4097, stop - 2, 4096 do
        for _, byte in ipairs({ tvb:raw(2, stop - 2):byte(from, from + 4095) }) do right = xor(right, byte) end
    end
    local found = tvb(stop, 1):uint()
    local item = tree:add(fields.bcc, tvb(stop, 1), found)
    local text = found == right and WORDS.right or string.format("%s: %02X", WORDS.wrong, right)
    item:set_text(string.format("%s: %02X (%s)", NAMES.bcc, found, text))
    item:add(fields.bcc_ok, tvb(stop, 1), found == right):set_generated()
    if found ~= right then item:add_proto_expert_info(experts.bcc, NAMES.bcc .. ": " .. text) end
end

local function byte_item(tree, tvb, at, name, text)
    local raw = tvb(at, 1):uint()
    tree:add(fields[name], tvb(at, 1), raw):set_text(string.format("%s: %s (%02X)", NAMES[name], text or "?", raw))
    return raw
end

local function dissect_one(tvb, pinfo, root)
    local size = tvb:len()
    pinfo.cols.protocol = "GB/T 32960"
    if size <= HEADER or not MARKS[tvb:raw(0, 2)] then
        root:add(proto, tvb()):add(fields.not_decoded, tvb()):add_proto_expert_info(experts.ends)
        return size
    end
    local edition = TABLES.editions[tvb:raw(0, 2)]
    local command = edition.commands[tvb(2, 1):uint()]
    local response = tvb(3, 1):uint()
    local tree = root:add(proto, tvb())
    local title = (command and command.name or string.format("%02X", tvb(2, 1):uint()))
    if response ~= 0xFE then title = title .. ", " .. (edition.responses[response] or string.format("%02X", response)) end
    tree:append_text(string.format(" %s, %s", edition.name, title))
    pinfo.cols.info:append(" " .. title)
    tree:add(fields.start, tvb(0, 2), tvb:raw(0, 2)):append_text(" (" .. edition.name .. ")")
    byte_item(tree, tvb, 2, "command", command and command.name)
    byte_item(tree, tvb, 3, "response", edition.responses[response])
    tree:add(fields.vin, tvb(4, 17))
    local encryption = byte_item(tree, tvb, 21, "encryption", edition.encryptions[tvb(21, 1):uint()])
    tree:add(fields.length, tvb(22, 2))
    local stop = math.min(HEADER + tvb(22, 2):uint(), size)
    if not command or encryption ~= 1 then
        if stop > HEADER then tree:add(fields.data_unit, tvb(HEADER, stop - HEADER)) end
    else
        unit(tvb, tree, edition, command, response, stop)
    end
    if stop < size then check(tvb, tree, stop) end
    return size
end

-- Bytes from `at` to where a packet that begins there ends; to the next start mark when none does.
local function length_at(tvb, at)
    if MARKS[tvb:raw(at, 2)] and tvb(at + 22, 2):uint() <= MAX_UNIT then return HEADER + tvb(at + 22, 2):uint() + 1 end
    local bytes = tvb:raw(at)
    local nearest = #bytes + 1
    for mark in pairs(MARKS) do nearest = math.min(nearest, bytes:find(mark, 2, true) or nearest) end
    return nearest - 1
end

-- Packets one after the other; TCP is asked for the rest of one that is cut. (dissect_tcp_pdus would neither step over
-- less noise than a header, nor wait for the rest when a heuristic calls it.)
local function dissect(tvb, pinfo, root)
    local at, size = 0, tvb:len()
    local may_wait = pinfo.can_desegment > 0 and size == tvb:reported_len()
    pinfo.cols.info = "GB/T 32960"
    while at < size do
        local left = size - at
        local whole = left >= HEADER and length_at(tvb, at) or nil
        if may_wait and (not whole or whole > left) then
            pinfo.desegment_offset = at
            pinfo.desegment_len = whole and whole - left or DESEGMENT_ONE_MORE_SEGMENT
            return size
        end
        local taken = math.min(whole or left, left)
        dissect_one(tvb(at, taken):tvb(), pinfo, root)
        at = at + taken
    end
    return size
end

proto.dissector = dissect
bare.dissector = dissect

local function looks_like(tvb)
    if tvb:len() < HEADER or not MARKS[tvb:raw(0, 2)] then return false end
    local edition = TABLES.editions[tvb:raw(0, 2)]
    return edition.responses[tvb(3, 1):uint()] and edition.encryptions[tvb(21, 1):uint()]
        and tvb(2, 1):uint() > 0 and tvb(22, 2):uint() <= MAX_UNIT
end

proto:register_heuristic("tcp", function(tvb, pinfo, root)
    if not looks_like(tvb) then return false end
    pinfo.conversation = proto
    dissect(tvb, pinfo, root)
    return true
end)
DissectorTable.get("tcp.port"):add(PORT, proto)
DissectorTable.get("wtap_encap"):add(wtap.USER0, bare)
