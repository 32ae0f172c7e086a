"""Names that people read: Chinese from the standard, English from the names of the tables.

`label(name, lang, table)` serves every body, field, command, word and flag. A board has no use for this module.
"""

import os

LANGUAGES = ("zh", "en")

# Where the name in the table is not yet English as people write it.
_ENGLISH = {
    "bcc": "check code (BCC)",
    "brake": "brake pedal",
    "accelerator": "accelerator pedal",
    "cell": "cell voltage",
    "dcdc_state": "DC/DC state",
    "dcdc_temperature": "DC/DC temperature",
    "hex": "content",
    "hex_length": "content length",
    "iccid": "ICCID",
    "id": "parameter id",
    "response": "response flag",
    "probe": "probe temperature",
    "soc": "SOC",
    "soc_high": "SOC high",
    "soc_jump": "SOC jump",
    "soc_low": "SOC low",
    "vin": "VIN / unique id",
}

_ENGLISH_BODIES = {"user": "user-defined"}

BODIES = {
    "vehicle": "整车数据",
    "drive_motors": "驱动电机数据",
    "fuel_cell": "燃料电池数据",
    "engine": "发动机数据",
    "position": "车辆位置数据",
    "extremes": "极值数据",
    "alarms": "报警数据",
    "storage_voltages": "可充电储能装置电压数据",
    "storage_temperatures": "可充电储能装置温度数据",
    "user": "用户自定义数据",
}

COMMANDS = {
    "vehicle_login": "车辆登入",
    "realtime": "实时信息上报",
    "reissue": "补发信息上报",
    "vehicle_logout": "车辆登出",
    "platform_login": "平台登入",
    "platform_logout": "平台登出",
    "heartbeat": "心跳",
    "time_sync": "终端校时",
    "parameter_query": "参数查询",
    "parameter_set": "参数设置",
    "control": "车载终端控制",
}

# Parts of every packet, and lists and groups.
PACKET = {
    "start": "起始符",
    "command": "命令标识",
    "response": "应答标志",
    "vin": "唯一识别码",
    "encryption": "数据单元加密方式",
    "length": "数据单元长度",
    "time": "数据采集时间",
    "body_type": "信息类型标志",
    "data_unit": "数据单元",
    "rest": "其余数据",
    "not_decoded": "未解析数据",
    "behind_the_packet": "数据包之后的数据",
    "bcc": "校验码",
    "reserved": "预留",
}

# "table.field" where one name means different things, else the field alone.
FIELDS = {
    "vehicle_state": "车辆状态",
    "charging_state": "充电状态",
    "run_mode": "运行模式",
    "speed": "车速",
    "odometer": "累计里程",
    "total_voltage": "总电压",
    "total_current": "总电流",
    "soc": "SOC",
    "dcdc_state": "DC/DC状态",
    "fuel_cell.dcdc_state": "高压DC/DC状态",
    "gear": "挡位",
    "driving_force": "有驱动力",
    "braking_force": "有制动力",
    "insulation_resistance": "绝缘电阻",
    "accelerator": "加速踏板行程值",
    "brake": "制动踏板状态",
    "motors": "驱动电机总成信息列表",
    "motors_count": "驱动电机个数",
    "motor.number": "驱动电机序号",
    "motor.state": "驱动电机状态",
    "motor.controller_temperature": "驱动电机控制器温度",
    "motor.speed": "驱动电机转速",
    "motor.torque": "驱动电机转矩",
    "motor.temperature": "驱动电机温度",
    "motor.controller_voltage": "电机控制器输入电压",
    "motor.controller_current": "电机控制器直流母线电流",
    "fuel_cell.voltage": "燃料电池电压",
    "fuel_cell.current": "燃料电池电流",
    "fuel_consumption": "燃料消耗率",
    "fuel_cell.probes": "探针温度值列表",
    "fuel_cell.probes_count": "燃料电池温度探针总数",
    "probe": "探针温度值",
    "max_hydrogen_temperature": "氢系统中最高温度",
    "max_hydrogen_temperature_probe": "氢系统中最高温度探针代号",
    "max_hydrogen_concentration": "氢气最高浓度",
    "max_hydrogen_concentration_sensor": "氢气最高浓度传感器代号",
    "max_hydrogen_pressure": "氢气最高压力",
    "max_hydrogen_pressure_sensor": "氢气最高压力传感器代号",
    "engine.state": "发动机状态",
    "engine.speed": "曲轴转速",
    "status": "定位状态",
    "valid": "定位有效",
    "south": "南纬",
    "west": "西经",
    "longitude": "经度",
    "latitude": "纬度",
    "max_voltage_subsystem": "最高电压电池子系统号",
    "max_voltage_cell": "最高电压电池单体代号",
    "max_cell_voltage": "电池单体电压最高值",
    "min_voltage_subsystem": "最低电压电池子系统号",
    "min_voltage_cell": "最低电压电池单体代号",
    "min_cell_voltage": "电池单体电压最低值",
    "max_temperature_subsystem": "最高温度子系统号",
    "max_temperature_probe": "最高温度探针序号",
    "max_temperature": "最高温度值",
    "min_temperature_subsystem": "最低温度子系统号",
    "min_temperature_probe": "最低温度探针序号",
    "min_temperature": "最低温度值",
    "alarms.level": "最高报警等级",
    "flags": "通用报警标志",
    "storage_faults": "可充电储能装置故障代码列表",
    "storage_faults_count": "可充电储能装置故障总数",
    "motor_faults": "驱动电机故障代码列表",
    "motor_faults_count": "驱动电机故障总数",
    "engine_faults": "发动机故障代码列表",
    "engine_faults_count": "发动机故障总数",
    "other_faults": "其他故障代码列表",
    "other_faults_count": "其他故障总数",
    "code": "故障代码",
    "subsystems": "可充电储能子系统信息列表",
    "subsystems_count": "可充电储能子系统个数",
    "subsystem.number": "可充电储能子系统号",
    "subsystem.voltage": "可充电储能装置电压",
    "subsystem.current": "可充电储能装置电流",
    "total_cells": "单体电池总数",
    "start_cell": "本帧起始电池序号",
    "cells": "单体电池电压列表",
    "cells_count": "本帧单体电池总数",
    "cell": "单体电池电压",
    "probes": "可充电储能子系统温度列表",
    "probes_count": "可充电储能温度探针个数",
    "user.hex": "自定义数据",
    "user.hex_length": "自定义数据长度",
    "serial": "登入流水号",
    "hex": "content",
    "hex_length": "content length",
    "iccid": "ICCID",
    "codes": "可充电储能系统编码",
    "code_count": "可充电储能子系统数",
    "code_length": "可充电储能系统编码长度",
    "user": "平台用户名",
    "password": "平台密码",
    "encryption_rule": "加密规则",
    "ids": "参数ID列表",
    "ids_count": "参数总数",
    "id": "参数ID",
    "parameters": "参数项列表",
    "parameters.count": "参数总数",
    "control": "控制命令ID",
    "control.level": "报警级别",
    "text": "报警信息",
    "arguments": "命令参数",
    "storage_period": "车载终端本地存储时间周期",
    "report_period": "正常时信息上报时间周期",
    "alarm_report_period": "出现报警时信息上报时间周期",
    "domain_length": "远程服务与管理平台域名长度",
    "domain": "远程服务与管理平台域名",
    "port": "远程服务与管理平台端口",
    "hardware_version": "硬件版本",
    "firmware_version": "固件版本",
    "heartbeat_period": "车载终端心跳发送周期",
    "terminal_answer_timeout": "终端应答超时时间",
    "platform_answer_timeout": "平台应答超时时间",
    "login_wait": "连续三次登入失败后到下一次登入的间隔时间",
    "public_domain_length": "公共平台域名长度",
    "public_domain": "公共平台域名",
    "public_port": "公共平台端口",
    "sampling_monitoring": "是否处于抽样监测中",
}

# "field.word" where one word means different things, else the word alone.
WORDS = {
    "started": "启动",
    "off": "熄火",
    "other": "其他",
    "parked_charging": "停车充电",
    "driving_charging": "行驶充电",
    "not_charging": "未充电",
    "charge_complete": "充电完成",
    "electric": "纯电",
    "hybrid": "混动",
    "fuel": "燃油",
    "working": "工作",
    "open": "断开",
    "consuming": "耗电",
    "generating": "发电",
    "motor.off": "关闭",
    "engine.off": "关闭",
    "ready": "准备",
    "on": "启动",
    "N": "空挡",
    "R": "倒挡",
    "D": "自动D挡",
    "P": "停车P挡",
    "yes": "是",
    "no": "否",
    "success": "成功",
    "error": "错误",
    "VIN duplicate": "VIN重复",
    "command": "命令包",
    "none": "不加密",
    "RSA": "RSA",
    "AES-128": "AES-128",
    "abnormal": "异常",
    "invalid": "无效",
    "reserved": "预留位",
    "right": "正确",
    "wrong": "错误",
    "impossible": "不可能的时间",
    "illegal": "超出规定范围",
} | {str(number): f"{number}挡" for number in range(1, 13)}

FLAGS = {
    "temperature_difference": "温度差异报警",
    "battery_temperature_high": "电池高温报警",
    "storage_voltage_high": "车载储能装置类型过压报警",
    "storage_voltage_low": "车载储能装置类型欠压报警",
    "soc_low": "SOC低报警",
    "cell_voltage_high": "单体电池过压报警",
    "cell_voltage_low": "单体电池欠压报警",
    "soc_high": "SOC过高报警",
    "soc_jump": "SOC跳变报警",
    "storage_mismatch": "可充电储能系统不匹配报警",
    "cell_consistency": "电池单体一致性差报警",
    "insulation": "绝缘报警",
    "dcdc_temperature": "DC-DC温度报警",
    "brake_system": "制动系统报警",
    "dcdc_state": "DC-DC状态报警",
    "motor_controller_temperature": "驱动电机控制器温度报警",
    "high_voltage_interlock": "高压互锁状态报警",
    "motor_temperature": "驱动电机温度报警",
    "storage_overcharge": "车载储能装置类型过充",
}

# Control commands (annex B) by id: English, Chinese.
CONTROLS = {
    1: ("remote upgrade", "远程升级"),
    2: ("power off", "车载终端关机"),
    3: ("reset", "车载终端复位"),
    4: ("factory settings", "车载终端恢复出厂设置"),
    5: ("drop the data link", "断开数据通信链路"),
    6: ("alarm or warning", "车载终端报警/预警"),
    7: ("start sampling monitoring", "开启抽样监测链路"),
}


def language(given: str | None = None) -> str:
    """`given`, else "zh" where the locale of messages is Chinese, else "en"."""
    if given is not None:
        return given
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(variable):
            return "zh" if os.environ[variable].lower().startswith("zh") else "en"
    return "en"


def english(name: str) -> str:
    """`name` of a table as English people write it."""
    if name.endswith(("_count", "_length")) and name not in _ENGLISH:
        thing, _, what = name.rpartition("_")
        return f"{english(thing)} {what}"
    return _ENGLISH.get(name, name.replace("_", " "))


def chinese(name: str, table: str = "") -> str | None:
    """The standard's name of a field of `table`, or of a part of the packet; None when there is none."""
    return FIELDS.get(f"{table}.{name}") or FIELDS.get(name) or PACKET.get(name)


def word(text: object, lang: str, table: str = "") -> str:
    """A word of an enumeration."""
    key = str(text)
    if lang == "zh":
        return WORDS.get(f"{table}.{key}") or WORDS.get(key) or key
    return key.replace("_", " ")


def flag(name: str, lang: str) -> str:
    """A flag of the alarm body."""
    return FLAGS.get(name, name) if lang == "zh" else english(name)


def label(name: str, lang: str, table: str = "") -> str:
    """The name of a field or of a part of the packet."""
    return (chinese(name, table) or english(name)) if lang == "zh" else english(name)


def body(name: str, lang: str) -> str:
    """The name of a body."""
    return BODIES.get(name, name) if lang == "zh" else _ENGLISH_BODIES.get(name, english(name))


def command(name: str, lang: str) -> str:
    """The name of a command."""
    return COMMANDS.get(name, name) if lang == "zh" else english(name)
