"""What a diagnosis says, in English and Chinese."""

from typing import Any

from agent.diagnosis_values import Finding
from agent.labels import body, label, word
from agent.texttable import print_table

HEADINGS = {
    "en": ("offset", "clause", "sure", "what is wrong", "likely mistake"),
    "zh": ("偏移", "条款", "把握", "问题", "可能的错误"),
}
SURE = {"certain": "确定", "likely": "很可能", "possible": "可能"}

FAULTS = {
    "no_start": ("no start mark ## or $$", "没有起始符##或$$"),
    "before_start": ("{count} bytes before the start mark", "起始符之前有{count}字节"),
    "length": (
        "the length says {size} bytes of data unit, there are {there}",
        "数据单元长度为{size},实际有{there}字节",
    ),
    "too_large": ("data unit length {size} above {most}", "数据单元长度{size}超过{most}"),
    "behind": ("{count} bytes behind the packet", "数据包之后还有{count}字节"),
    "cut": ("the packet ends at offset {at}, it has {size} bytes", "数据包在偏移{at}处结束,应有{size}字节"),
    "lost": ("one byte is missing between offsets {first} and {last}", "偏移{first}至{last}之间缺少一个字节"),
    "bcc": ("check code {found} is wrong, {right} is right", "校验码{found}错误,应为{right}"),
    "command": ("command {raw} is reserved", "命令标识{raw}为预留"),
    "response": ("this edition has no response flag {raw}", "本版没有应答标志{raw}"),
    "encryption": ("this edition has no encryption {raw}", "本版没有加密方式{raw}"),
    "encryption_plain": ("encryption {raw}, but the data unit reads as it is", "加密方式为{raw},数据单元却是明文"),
    "vin": ("the unique id is no text", "唯一识别码不是文本"),
    "vin_short": ("the unique id has {count} characters, a VIN has 17", "唯一识别码只有{count}个字符,VIN应为17个"),
    "time": ("{raw} is no time", "{raw}不是时间"),
    "far_future": ("the time {raw} lies in the 2030s", "时间{raw}在2030年代"),
    "ends": ("the data end inside {name}", "数据在{name}中间结束"),
    "unknown_type": ("body type {name} is reserved, its length is unknown", "信息类型标志{name}为预留,长度未知"),
    "kept_type": ("body type {name} has no layout of the standard", "信息类型标志{name}在标准中没有格式"),
    "unknown_parameter": ("parameter {name} has no layout", "参数{name}没有格式"),
    "no_length_before": (
        "no earlier parameter gives the length of parameter {name}",
        "参数{name}之前没有给出其长度的参数",
    ),
    "not_declared": ("body {name} has another length than is declared", "信息体{name}的长度与声明不符"),
    "behind_rows": ("bytes behind the last field", "最后一个字段之后还有数据"),
    "unit_not_empty": ("{count} bytes of data unit where none are expected", "本命令不应有数据单元,却有{count}字节"),
    "table": ("body or fields do not follow the table of edition {edition}", "信息体或字段不符合{edition}版的表"),
    "order": ("the numbers do not fit from {field} on", "自{field}起数值不符合规定"),
    "range": ("{field}: raw {raw} ({number}), allowed {lo}..{hi}", "{field}: 原始值{raw}({number}),允许{lo}..{hi}"),
    "reserved_bits": ("{field}: reserved bits are set in {raw}", "{field}: {raw}中的预留位不为0"),
    "absurd": ("{field}: {value} (raw {number}) is not plausible", "{field}: {value}(原始值{number})不合情理"),
    "nowhere": ("a valid position at 0, 0", "有效定位却在0, 0"),
    "position_invalid": ("coordinates, but bit 0 says that they are invalid", "有坐标,但位0表示定位无效"),
    "arctic": ("latitude {value} is in the Arctic", "纬度{value}位于北极"),
    "below_lowest": ("{field} {value} is below the lowest", "{field} {value}低于最低值"),
    "behind_signature": ("a body behind the signature", "签名之后还有信息体"),
    "twice": ("body type {type} comes twice", "信息类型标志{type}出现两次"),
}

MISTAKES = {
    "": ("", ""),
    "start_byte_missing": ("one of the two start bytes was lost", "丢失了一个起始符字节"),
    "hex_text": ("hexadecimal text, not bytes", "是十六进制文本,不是字节"),
    "length_limit": ("65531 is the largest length; more makes receivers lose step", "长度最大为65531,否则接收方失去同步"),
    "length_little_endian": ("length in little-endian order", "长度按小端序写入"),
    "length_whole": ("length counts header and check code too", "长度把包头和校验码也算入"),
    "length_header": ("length counts the header too", "长度把包头也算入"),
    "length_check": ("length counts the check code too", "长度把校验码也算入"),
    "length_without_time": ("length leaves out the six time bytes", "长度没有算入6字节时间"),
    "joined": ("two packets in one: split by length, not by read", "两个数据包粘在一起:应按长度拆分"),
    "line_end": ("a line end or padding was sent or stored behind it", "其后附加了换行或填充字节"),
    "cut_and_next": ("a packet cut short, and the next one behind it", "数据包被截断,后面紧跟下一个数据包"),
    "cut_short": ("the packet was cut short", "数据包被截断"),
    "no_check_code": ("the check code was not sent or copied", "缺少校验码"),
    "lost_byte": ("a byte {raw} was dropped", "丢失了字节{raw}"),
    "bcc_one_start": ("one start byte was included (it begins at offset 2)", "校验算入了一个起始符字节(应从偏移2开始)"),
    "bcc_itself": ("the check byte was included", "校验算入了校验码自身"),
    "bcc_unit": ("computed over the data unit alone", "只对数据单元计算了校验"),
    "bcc_after_command": ("computed from the response flag on", "从应答标志开始计算了校验"),
    "bcc_before_last": ("the last byte of the data unit was left out", "校验漏了数据单元的最后一个字节"),
    "bcc_sum": ("a sum instead of XOR", "用了累加和,应为异或"),
    "bcc_inverted": ("inverted", "校验码被取反"),
    "bcc_plain": (
        "computed over the plaintext, or bytes were changed after it was computed",
        "对明文计算了校验,或计算之后字节被改动",
    ),
    "bcc_stale": (
        "stale: bytes were changed after it was computed (an anonymised VIN?)",
        "校验码过期:计算之后字节被改动(VIN脱敏?)",
    ),
    "damaged": ("bytes were damaged on the way or by hand", "字节在传输中或被人为损坏"),
    "response_2025": ("a response flag of 2025 in a packet of 2016", "2016版数据包中用了2025版的应答标志"),
    "encryption_2025": ("an encryption of 2025 in a packet of 2016", "2016版数据包中用了2025版的加密方式"),
    "not_encrypted": ("sent in clear with an encryption code", "标了加密方式却以明文发送"),
    "vin_text": ("17 ASCII characters are needed", "应为17个ASCII字符"),
    "bcd_time": ("BCD; time is plain binary", "时间用了BCD码,应为二进制"),
    "year_2000": ("the low byte of the year instead of year-2000", "年用了低字节,应为年份减2000"),
    "time_backwards": ("seconds first; the year comes first", "时间顺序颠倒,年应在最前"),
    "other_edition": (
        "laid out as in {other} ({name}, {size} bytes): start bytes or table of the wrong edition",
        "按{other}版格式({name},{size}字节):起始符或表用错了版本",
    ),
    "other_layout": ("laid out as {name} of {other} under the new type", "类型为新版,格式却是{other}版的{name}"),
    "other_login": (
        "login laid out as in {other} (2016: n codes of m bytes; 2025: n pack counts, codes of 24 bytes)",
        "登入按{other}版格式(2016版:n个m字节编码;2025版:n个电池包数,24字节编码)",
    ),
    "other_parameters": (
        "parameters as in {other} (02 and 03 are WORD in 2016, BYTE in 2025)",
        "参数按{other}版格式(参数02、03在2016版为WORD,2025版为BYTE)",
    ),
    "signature_2016": ("FF begins a signature, which 2016 does not have", "FF为签名开始标识,2016版没有签名"),
    "signature_without_s": ("the length of S is missing; it is sent even when 0", "缺少S的长度,为0也要发送"),
    "signature_not_last": ("the signature must be the last block", "签名应为最后一块"),
    "marker": ("a marker FF before the signature: only reports have it", "签名前有FF标识:只有信息上报才有"),
    "torque_word": ("torque as WORD; 2025 has a DWORD", "转矩用了WORD,2025版为DWORD"),
    "probe_count_byte": ("probe count as BYTE; it is a WORD", "探针总数用了BYTE,应为WORD"),
    "hydrogen_first": ("hydrogen fields before the probes; the list comes first", "氢系统字段在探针列表之前,应在其后"),
    "cells_misread": (
        "cell count right behind the subsystem number; voltage, current and numbers come first",
        "子系统号之后直接是单体数,应先是电压、电流和序号",
    ),
    "count_as_length": ("FE or FF taken as 254 or 255 entries; no list follows", "把FE或FF当作254或255个条目"),
    "no_length": ("the two length bytes of a user-defined body are missing", "自定义数据缺少2字节长度"),
    "little_endian": ("little-endian numbers; all are big-endian", "数值用了小端序,应为大端序"),
    "latitude_first": ("latitude before longitude; longitude comes first", "纬度在经度之前,应经度在前"),
    "signed": ("a signed number; the sign is a status bit", "用了有符号数,符号应在定位状态位"),
    "valid_is_1": ("bit 0 as valid = 1; 0 is valid", "把位0当作1为有效,应0为有效"),
    "bits_reversed": ("bits counted from the wrong end; bit 0 is the least significant", "位序颠倒,位0为最低位"),
    "serial_range": ("the serial runs from 1 to 65531 and restarts every day", "流水号为1至65531,每天从1开始"),
    "current_offset": (
        "current offset of the other edition (2016: 1000 A, raw 10000 is 0; 2025: 3000 A, raw 30000 is 0)",
        "电流偏移用错了版本(2016版1000A,原始值10000为0;2025版3000A,原始值30000为0)",
    ),
    "offset_forgotten": ("the offset was not added", "没有加偏移量"),
    "speed_offset": (
        "motor speed offset of the other edition (2016: 20000, 2025: 32000)",
        "电机转速偏移用错了版本(2016版20000,2025版32000)",
    ),
    "torque_offset": (
        "torque offset mixed up (2016: 20000 counts, 2000 N.m; 2025: 200000 counts, 20000 N.m)",
        "转矩偏移弄错(2016版20000即2000N·m;2025版200000即20000N·m)",
    ),
    "ten_times": ("ten times too large: the scale was applied twice or not at all", "大了10倍:比例用错"),
    "sentinel_width": ("a byte's FE repeated; abnormal is FFFE, FFFFFFFE", "重复了单字节的FE;异常应为FFFE、FFFFFFFE"),
    "sentinel_40": ("the offset -40 was applied to FE or FF", "对FE或FF也做了-40偏移"),
    "extremes_swapped": ("highest and lowest swapped", "最高值与最低值颠倒"),
}  # fmt: skip


def say(finding: Finding, lang: str) -> tuple[str, str]:
    """What is wrong, and the likely mistake ("" unknown)."""
    values = dict(finding.values)
    table = values.pop("table", "")
    for key in ("field", "name"):
        if key in values and isinstance(values[key], str):
            named = body(values[key], lang) if finding.fault == "table" else label(values[key], lang, table)
            values[key] = named
    column = int(lang == "zh")
    return FAULTS[finding.fault][column].format(**values), MISTAKES[finding.mistake][column].format(**values)


def sureness(finding: Finding, lang: str) -> str:
    """certain, likely, possible."""
    return SURE[finding.sure] if lang == "zh" else word(finding.sure, lang)


def print_findings(findings: list[Finding], lang: str) -> None:
    """Print them as a table; nothing when there are none."""
    if findings:
        lines = [(str(found.offset), found.clause, sureness(found, lang), *say(found, lang)) for found in findings]
        print_table(HEADINGS[lang], "rllll", lines)


def as_json(finding: Finding, lang: str) -> dict[str, Any]:
    """For scripts; `fault` and `mistake` are fixed words, `what` and `likely` sentences in `lang`."""
    what, likely = say(finding, lang)
    return {
        "offset": finding.offset,
        "clause": finding.clause,
        "sure": finding.sure,
        "fault": finding.fault,
        "mistake": finding.mistake or None,
        "what": what,
        "likely": likely,
    }
