"""What phones and their tools print: recorded output, and output put together from the formats of their sources.

`PROFILE_*` are shortened to a few operators, their counts adapted. Everything is used by the parsers' tests and is
where their fuzzing begins.
"""

GETPROP = """\
[dalvik.vm.heapgrowthlimit]: [256m]
[persist.sys.boot.reason.history]: [reboot,1764830000
shutdown,userrequested,1764820000
reboot,ota,1764810000]
[ro.boot.hardware]: [qcom]
[ro.build.fingerprint]: [samsung/dm1qxxx/dm1q:14/UP1A.231005.007/S911BXXU3CXD3:user/release-keys]
[ro.build.type]: [user]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.debuggable]: [0]
[ro.hardware]: [qcom]
[ro.board.platform]: [kalama]
[ro.product.board]: [kalama]
[ro.product.brand]: [samsung]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.product.manufacturer]: [samsung]
[ro.product.model]: [SM-S911B]
[ro.soc.manufacturer]: [QTI]
[ro.soc.model]: [SM8550]
[sys.empty]: []
"""

GETPROP_ANDROID_9 = """\
[ro.board.platform]: [msm8998]
[ro.build.fingerprint]: [google/walleye/walleye:9/PQ3A.190801.002/5670241:user/release-keys]
[ro.build.type]: [user]
[ro.build.version.release]: [9]
[ro.build.version.sdk]: [28]
[ro.hardware]: [walleye]
[ro.product.brand]: [google]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 2]
"""

BATTERY = """\
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Dock powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 2848000
  status: 2
  health: 2
  present: true
  level: 87
  scale: 100
  voltage: 4210
  temperature: 283
  technology: Li-ion
"""

BATTERY_FAKED = BATTERY.replace("  AC", "  (UPDATES STOPPED -- use 'reset' to restart)\n  AC", 1)

THERMAL = """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
\tkilled: false
\tbroadcasts count: -1
ThermalStatusListeners:
\tcallbacks: 4
\tkilled: false
\tbroadcasts count: -1
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=45.98, mType=3, mName=skin, mStatus=2}
\tTemperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=25.6, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=23.8, mType=2, mName=BAT, mStatus=0}
\tTemperature{mValue=30.2, mType=3, mName=skin, mStatus=0}
\tTemperature{mValue=-99.9, mType=3, mName=quiet_therm, mStatus=0}
\tTemperature{mValue=NaN, mType=9, mName=npu, mStatus=0}
\tTemperature{mValue=4.2E-4, mType=4, mName=usb, mStatus=0}
\tTemperature{mValue=4200.0, mType=6, mName=vbat, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
\tCoolingDevice{mValue=3, mType=2, mName=thermal-cpufreq-4}
Temperature static thresholds from HAL:
\tTemperatureThreshold{mType=3, mName=skin, mHotThrottlingThresholds=[NaN, 39.0], mColdThrottlingThresholds=[NaN]}
"""

THERMAL_WITHOUT_HAL = "IsStatusOverride: false\nThermal Status: 0\nCached temperatures:\nHAL Ready: false\n"

POWER_ANDROID_13 = """\
POWER MANAGER (dumpsys power)

Power Manager State:
  Settings power_manager_constants:
    no_cached_wake_locks=true
  mDirty=0x0
  mWakefulness=Awake
  mWakefulnessChanging=false
  mIsPowered=true
  mPlugType=1
  mBatteryLevel=50
  mStayOn=false
  mBatteryLevelLow=false
  mLightDeviceIdleMode=false
  mDeviceIdleMode=false
  mDeviceIdleWhitelist=[2000, 10007, 10019, 10025]
  mLastWakeTime=0 (923791 ms ago)

Display Power: com.android.server.power.PowerManagerService$1@8c9fc54

Battery saving stats:
  Battery Saver is currently: OFF

Battery saver state machine:
  Enabled=false
    full=false
    adaptive=false
  mState=1
  mIsPowered=true

Power Group User Activity:
groupId: 0
mWakefulness=1
"""

POWER_ANDROID_8 = """\
POWER MANAGER (dumpsys power)

Power Manager State:
  mDirty=0x0
  mWakefulness=Asleep
  mWakefulnessChanging=false
  mIsPowered=false
  mLowPowerModeEnabled=true
  mBatteryLevelLow=false
  mDeviceIdleMode=true

Display Power: state=OFF
"""


def cpuinfo(*parts: str) -> str:
    """/proc/cpuinfo of an arm64 kernel: a core for each of these part numbers of Arm's own."""
    cores = [
        f"processor\t: {number}\nBogoMIPS\t: 38.40\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {part}\nCPU revision\t: 0\n"
        for number, part in enumerate(parts)
    ]
    return "\n".join([*cores, "Hardware\t: Qualcomm Technologies, Inc SM8550\n"])


CPUINFO = cpuinfo("0xd46", "0xd46", "0xd46", "0xd4d", "0xd4d", "0xd47", "0xd47", "0xd4e")
"""Snapdragon 8 Gen 2: Cortex-A510, A715, A710, X3."""

SYSFS = """\
/sys/devices/system/cpu/present:0-7
/sys/devices/system/cpu/online:0-6
/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq:1800000
/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq:1800000
/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq:576000
/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor:schedutil
/sys/devices/system/cpu/cpu4/cpufreq/cpuinfo_max_freq:2348000
/sys/devices/system/cpu/cpu4/cpufreq/scaling_max_freq:1747000
/sys/devices/system/cpu/cpu5/cpufreq/cpuinfo_max_freq:2348000
/sys/devices/system/cpu/cpu6/cpufreq/cpuinfo_max_freq:2850000
/sys/devices/system/cpu/cpu7/cpufreq/cpuinfo_max_freq:2850000
/sys/devices/system/cpu/cpu4/cpufreq/stats/time_in_state:300000 12
/sys/devices/system/cpu/cpu4/cpufreq/stats/time_in_state:2348000 345
/sys/class/thermal/thermal_zone0/type:cpu-0-0-usr
/sys/class/thermal/thermal_zone0/temp:41500
/sys/class/thermal/thermal_zone10/type:battery
/sys/class/thermal/thermal_zone10/temp:28300
/sys/class/thermal/thermal_zone2/temp:-273000
/proc/loadavg:0.25 0.18 0.16 1/85 4726
"""

PROC_STAT = """\
cpu  11 2 3 101 6 4 5 7 0 0
cpu0 10 1 2 100 5 3 4 6 0 0
cpu1 1 1 1 1 1 1 1 1 0 0
intr 1462898 0 0 0
ctxt 115315
btime 1764830000
processes 4726
procs_running 3
procs_blocked 0
softirq 229245 94 60001 13619
"""

LOADAVG = "0.25 0.18 0.16 1/85 4726\n"

CPU_PRESSURE = """\
some avg10=31.71 avg60=22.20 avg300=14.28 total=5117807630
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
"""

MEMINFO = """\
MemTotal:        7654321 kB
MemFree:          234567 kB
MemAvailable:    3456789 kB
Buffers:            1234 kB
"""

DF = """\
Filesystem            1K-blocks      Used Available Use% Mounted on
/dev/block/dm-8       112345678  45678901  66543210  41% /data
"""

DF_WRAPPED = """\
Filesystem           1K-blocks    Used Available Use% Mounted on
/dev/block/platform/soc/1d84000.ufshc/by-name/userdata
                      52345678 5678901  46543210  11% /data
"""

ADB_DEVICES = """\
* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
R58M12ABCDE            device usb:1-2 product:dm1qxxx model:SM_S911B device:dm1q transport_id:1
emulator-5554          offline transport_id:4
192.168.1.200:5555     unauthorized transport_id:3
adb-R58M12ABCDE-abcdef (2)._adb-tls-connect._tcp device product:dm1qxxx model:SM_S911B device:dm1q transport_id:7
HT7A11A00001           no permissions (user in plugdev group; are your udev rules wrong?); see \
[http://developer.android.com/tools/device.html] usb:1-3 transport_id:2
????????????           no permissions
(no serial number)     recovery usb:3-1 transport_id:9
0123456789ABCDEF\tsideload

"""

BENCHMARK_MODEL = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Min num runs: [5]
INFO: Min warmup runs: [50]
INFO: Graph: [./models/tiny_muaalem_int4.tflite]
INFO: Signature to run: []
INFO: Loaded model ./models/tiny_muaalem_int4.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 2136 out of 2168 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 65 partitions for \
subgraph 0.
INFO: The input model file size (MB): 8.45746
INFO: Initialized session in 143.669ms.
INFO: Running benchmark for at least 50 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=72635 curr=42240 min=42134 max=72635 avg=43536.2 std=4813 p5=42168 median=42430 p95=49447

INFO: Running benchmark for at least 5 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=24 first=42142 curr=42232 min=42142 max=42763 avg=42435.4 std=147 p5=42232 median=42405 p95=42729

INFO: Inference timings in us: Init: 143669, First inference: 72635, Warmup (avg): 43536.2, Inference (avg): 42435.4
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual \
memory footprint of the model at runtime. Take the information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init=23.5625 overall=27.5859
INFO: Overall peak memory footprint (MB) via periodic monitoring: 41.2
"""

BENCHMARK_MODEL_TF_2_3 = """\
STARTING!
Min num runs: [50]
Graph: [/data/local/tmp/denoising_32bit.tflite]
Loaded model /data/local/tmp/denoising_32bit.tflite
INFO: Initialized TensorFlow Lite runtime.
The input model file size (MB): 7.07479
Initialized session in 870.557ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=4 first=130565 curr=120829 min=117370 max=130565 avg=122373 std=4930

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=119212 curr=118055 min=113737 max=124776 avg=119375 std=1948

Inference timings in us: Init: 870557, First inference: 130565, Warmup (avg): 122373, Inference (avg): 119375
"""

BENCHMARK_MODEL_TF_1_12 = """\
STARTING!
Num runs: [50]
Graph: [mobilenet_v1_1.0_224_quant.tflite]
Loaded model mobilenet_v1_1.0_224_quant.tflite
resolved reporter
Initialized session in 4.452ms
Running benchmark for 1 iterations
count=1 curr=146161

Running benchmark for 50 iterations
count=50 first=137789 curr=137254 min=137079 max=143416 avg=137722 std=896

Average inference timings in us: Warmup: 146161, Init: 4452, no stats: 137722
"""

BENCHMARK_MODEL_LOGCAT = """\
05-30 15:16:44.857  3380  3380 I tflite  : Explicitly applied NNAPI delegate, and the model graph will be partially \
executed by the delegate w/ 44 delegate kernels.
05-30 15:16:44.858  3380  3380 I tflite  : Initialized session in 126.059ms.
05-30 15:16:44.858  3380  3380 I tflite  : Running benchmark for at least 1 iterations and at least 0.5 seconds but \
terminate if exceeding 150 seconds.
05-30 15:16:45.362  3380  3380 I tflite  : count=40 first=32942 curr=12594 min=11340 max=32942 avg=12581.9 std=3331
05-30 15:16:45.362  3380  3380 I tflite  : Running benchmark for at least 50 iterations and at least 1 seconds but \
terminate if exceeding 150 seconds.
05-30 15:16:46.365  3380  3380 I tflite  : count=75 first=12840 curr=11853 min=11787 max=13649 avg=12167.6 std=325
05-30 15:16:46.366  3380  3380 I tflite  : Inference timings in us: Init: 126059, First inference: 32942, \
Warmup (avg): 12581.9, Inference (avg): 12167.6
"""

BENCHMARK_MODEL_FAILED = """\
INFO: STARTING!
INFO: Loaded model broken.tflite
ERROR: Encountered unresolved custom op: MyOp.
ERROR: Node number 0 (MyOp) failed to prepare.
ERROR: Failed to allocate tensors!
ERROR: Benchmarking failed.
"""

_RUN_ORDER = "============================== Run Order =============================="
_BY_TIME = "============================== Top by Computation Time =============================="
_BY_TYPE = "============================== Summary by node type =============================="
_TYPE_HEADER = "\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]"

_NEW_HEADER = "\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]"
_OLD_HEADER = _NEW_HEADER.replace("\t  [first]", "\t  [start]\t  [first]")
PROFILE_OLD = f"""\
{_RUN_ORDER}
{_OLD_HEADER}
\t                 CONV_2D\t    0.000\t    4.269\t    4.269\t  0.107%\t  0.107%\t     0.000\t        0\t[Mobilenet/Conv2d_0/Relu6]
\t       DEPTHWISE_CONV_2D\t    4.270\t    2.150\t    2.150\t  0.054%\t  0.161%\t     0.000\t        0\t[Mobilenet/Conv2d_1_depthwise/Relu6]

{_BY_TIME}
{_OLD_HEADER}
\t                 CONV_2D\t    0.000\t    4.269\t    4.269\t  0.107%\t  0.107%\t     0.000\t        0\t[Mobilenet/Conv2d_0/Relu6]

Number of nodes executed: 2
{_BY_TYPE}
{_TYPE_HEADER}
\t                 CONV_2D\t        1\t     4.269\t    66.506%\t    66.506%\t     0.000\t        0
\t       DEPTHWISE_CONV_2D\t        1\t     2.150\t    33.494%\t   100.000%\t     0.000\t        0

Timings (microseconds): count=50 first=79449 curr=81350 min=77385 max=88213 avg=79732 std=1929
Memory (bytes): count=0
2 nodes observed


Average inference timings in us: Warmup: 83235, Init: 38467, Inference: 79760.9
"""  # noqa: E501

PROFILE_NEW = f"""\
INFO: Profiling Info for Benchmark Initialization:
INFO: {_RUN_ORDER}
{_NEW_HEADER}
\t ModifyGraphWithDelegate\t  354.149\t  354.149\t 98.100%\t 98.100%\t   124.000\t        1\tModifyGraphWithDelegate/0

Number of nodes executed: 1
{_BY_TYPE}
{_TYPE_HEADER}
\t ModifyGraphWithDelegate\t        1\t   354.149\t   100.000%\t   100.000%\t   124.000\t        1

Timings (microseconds): count=1 curr=361000
Memory (bytes): count=0
1 nodes observed

INFO: Operator-wise Profiling Info for Regular Benchmark Runs:
Primary graph (name: main) profile:
{_RUN_ORDER}
{_NEW_HEADER}
\t    TfLiteXNNPackDelegate\t    1.100\t    1.050\t 99.000%\t 99.000%\t     0.000\t        1\t[a/b, c/d;e]:7
\t                    WHILE\t    0.010\t    0.011\t  1.000%\t100.000%\t     0.000\t        1\t[w]:1

Number of nodes executed: 2
{_BY_TYPE}
{_TYPE_HEADER}
\t    TfLiteXNNPackDelegate\t        1\t     1.050\t    99.000%\t    99.000%\t     0.000\t        1
\t                    WHILE\t        1\t     0.011\t     1.000%\t   100.000%\t     0.000\t        1

Timings (microseconds): count=50 first=1110 curr=1061 min=1055 max=1110 avg=1062 std=9
Memory (bytes): count=0
2 nodes observed

Subgraph (index: 3, name: body) profile:
{_RUN_ORDER}
{_NEW_HEADER}
\t                      ADD\t    0.001\t    0.002\t100.000%\t100.000%\t     0.000\t        5\t[s]:0

Number of nodes executed: 1
{_BY_TYPE}
{_TYPE_HEADER}
\t                      ADD\t        1\t     0.002\t   100.000%\t   100.000%\t     0.000\t        5

Subgraph (index: 3, name: body) Timings (microseconds): count=50 first=5 curr=5 min=4 max=6 avg=5 std=0
Memory (bytes): count=0
1 nodes observed

Delegate internal:\x20
{_RUN_ORDER}
{_NEW_HEADER}
\tConvolution (NHWC, F32) IGEMM\t    1.000\t    1.000\t100.000%\t100.000%\t     0.000\t        1\tDelegate/Convolution (NHWC, F32) IGEMM:0

Number of nodes executed: 1
{_BY_TYPE}
{_TYPE_HEADER}
\tConvolution (NHWC, F32) IGEMM\t        1\t     1.000\t   100.000%\t   100.000%\t     0.000\t        1

Timings (microseconds): count=50 first=1000 curr=1000 min=999 max=1001 avg=1000 std=0
Memory (bytes): count=0
1 nodes observed
"""  # noqa: E501

PROFILE_CSV_NEW = f"""\
{_RUN_ORDER}
node type, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 0.11, 0.0930388, 44.8994%, 44.8994%, 0, 1, [sequential_11/conv2d_33/Conv2D]:0
Convolution (NHWC, F32) IGEMM, 0.1, 0.05, 24.1%, 69%, 0, 1, Delegate/Convolution (NHWC, F32) IGEMM:1
SPLIT, 0, 0, nan%, 69%, 0, 1, [left, right;rest, 5]:2

Number of nodes executed: 3
{_BY_TYPE}
node type, count, avg_ms, avg %, cdf %, mem KB, times called
CONV_2D, 1, 0.0930388, 44.8994%, 44.8994%, 0, 1
Convolution (NHWC, F32) IGEMM, 1, 0.05, 24.1%, 69%, 0, 1
SPLIT, 1, 0, -nan%, 69%, 0, 1

Timings (microseconds): count=50 first=1000 curr=1000 min=999 max=1001 avg=1000 std=0
Memory (bytes): count=0
3 nodes observed
"""

PROFILE_CSV_OLD = f"""\
{_RUN_ORDER}
node type, start, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 0, 0.11, 0.0930388, 44.8994%, 44.8994%, 0, 1, [sequential_11/conv2d_33/Conv2D]:0

Number of nodes executed: 1
{_BY_TYPE}
node type, count, avg_ms, avg %, cdf %, mem KB, times called
CONV_2D, 1, 0.0930388, 44.8994%, 44.8994%, 0, 1
"""

EXECUTOR_RUNNER = """\
I 00:00:00.000172 executorch:executor_runner.cpp:301] Resetting threadpool with num threads = 4
I 00:00:00.001234 executorch:executor_runner.cpp:476] Model file mv2.pte is loaded.
I 00:00:00.001301 executorch:executor_runner.cpp:486] Using method forward
I 00:00:05.833558 executorch:executor_runner.cpp:564] Model loaded in 4463.268273 ms.
I 00:00:06.075558 executorch:executor_runner.cpp:779] Iteration 1 of 2: 241.944288 ms
I 00:00:06.309558 executorch:executor_runner.cpp:779] Iteration 2 of 2: 233.100001 ms
I 00:00:06.309600 executorch:executor_runner.cpp:788] Model executed successfully 2 time(s) in 475.044289 ms.
I 00:00:06.309611 executorch:executor_runner.cpp:799] 1 outputs:\x20
OutputX 0: tensor(sizes=[1, 1000], [-0.5, 0.25])
I 00:00:06.310001 executorch:executor_runner.cpp:850] ETDump written to file 'model.etdump'.
"""

EXECUTOR_RUNNER_OLD = """\
I 00:00:00.001234 executorch:executor_runner.cpp:160] Model file add.pte is loaded.
I 00:00:00.134639 executorch:executor_runner.cpp:241] Method loaded.
E 00:00:00.134655 executorch:method.cpp:1056] Output 0 is memory planned, or is a constant.
I 00:00:00.135655 executorch:executor_runner.cpp:275] Model executed successfully 10 time(s) in 25.500000 ms.
I 00:00:00.135700 executorch:executor_runner.cpp:279] 2 outputs:\x20
"""

EXECUTOR_RUNNER_LOGCAT = """\
10-04 09:35:10.445  3380  3381 I ExecuTorch: [executor_runner.cpp:564] Model loaded in 12.500000 ms.
10-04 09:35:10.460  3380  3381 I ExecuTorch: [executor_runner.cpp:779] Iteration 1 of 1: 3.250000 ms
10-04 09:35:10.460  3380  3381 I ExecuTorch: [executor_runner.cpp:788] Model executed successfully 1 time(s) in \
3.250000 ms.
"""

EXECUTOR_RUNNER_FAILED = """\
I 00:00:00.001234 executorch:executor_runner.cpp:476] Model file mv2.pte is loaded.
E 00:00:00.002000 executorch:method.cpp:66] Backend XnnpackBackend is not registered.
F 00:00:00.002100 executorch:executor_runner.cpp:554] In function main(), assert failed (method.ok()): Loading of \
method forward failed with status 0x20
"""

BENCHMARK_MODEL_GPU_THEN_CPU = """\
STARTING!
Log parameter values verbosely: [0]
Num threads: [4]
Graph: [/data/local/tmp/yolov5s.tflite]
#threads used for CPU inference: [4]
Use gpu: [1]
Loaded model /data/local/tmp/yolov5s.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite delegate for GPU.
INFO: Replacing 266 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 1 partitions.
Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
The input model file size (MB): 14.2303
Initialized session in 1210.5ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=9 first=61055 curr=57123 min=56802 max=61055 avg=58100.3 std=1200

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=57120 curr=57400 min=56700 max=60120 avg=57650.5 std=610

Inference timings in us: Init: 1210500, First inference: 61055, Warmup (avg): 58100.3, Inference (avg): 57650.5
STARTING!
Log parameter values verbosely: [0]
Num threads: [4]
Graph: [/data/local/tmp/custom.tflite]
#threads used for CPU inference: [4]
Loaded model /data/local/tmp/custom.tflite
ERROR: Encountered unresolved custom op: MyOp.
ERROR: Failed to allocate tensors!
Benchmarking failed.
STARTING!
Log parameter values verbosely: [0]
Num threads: [4]
Graph: [/data/local/tmp/mobilenet_v1_1.0_224.tflite]
#threads used for CPU inference: [4]
Loaded model /data/local/tmp/mobilenet_v1_1.0_224.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: Replacing 31 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions.
Initialized session in 22.1ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=40 first=13020 curr=12010 min=11950 max=13020 avg=12100.1 std=210

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=80 first=12055 curr=12020 min=11930 max=12990 avg=12080.5 std=150

Inference timings in us: Init: 22100, First inference: 13020, Warmup (avg): 12100.1, Inference (avg): 12080.5
"""

EXECUTOR_RUNNER_TWICE = (
    EXECUTOR_RUNNER
    + """\
I 00:00:00.000150 executorch:executor_runner.cpp:301] Resetting threadpool with num threads = 1
I 00:00:00.001100 executorch:executor_runner.cpp:476] Model file mv2.pte is loaded.
I 00:00:00.833558 executorch:executor_runner.cpp:564] Model loaded in 412.5 ms.
I 00:00:01.075558 executorch:executor_runner.cpp:779] Iteration 1 of 1: 700.250000 ms
I 00:00:01.309600 executorch:executor_runner.cpp:788] Model executed successfully 1 time(s) in 700.250000 ms.
I 00:00:00.001234 executorch:executor_runner.cpp:476] Model file broken.pte is loaded.
E 00:00:00.002000 executorch:method.cpp:66] Backend XnnpackBackend is not registered.
"""
)

JETPACK = """\
{
    "context": {
        "build": {
            "brand": "google",
            "device": "oriole",
            "fingerprint": "google/oriole/oriole:14/UQ1A.240105.002/11204907:user/release-keys",
            "id": "UQ1A.240105.002",
            "model": "Pixel 6",
            "type": "user",
            "version": {"codename": "REL", "sdk": 34}
        },
        "cpuCoreCount": 8,
        "cpuLocked": false,
        "cpuMaxFreqHz": 2802000000,
        "memTotalBytes": 7823654912,
        "sustainedPerformanceModeEnabled": true,
        "artMainlineVersion": 340818022
    },
    "benchmarks": [
        {
            "name": "UNLOCKED_LOW-BATTERY_mobilenet_v1_1.0_224",
            "params": {},
            "className": "com.example.nets.NetBenchmark",
            "totalRunTimeNs": 2590329086,
            "metrics": {
                "timeNs": {
                    "minimum": 1.1951702E7,
                    "maximum": 1.4120339E7,
                    "median": 1.2104511E7,
                    "runs": [1.4120339E7, 1.2104511E7, 1.1951702E7, 1.2088013E7, 1.2220107E7]
                },
                "allocationCount": {"minimum": 0.0, "maximum": 0.0, "median": 0.0, "runs": [0.0, 0.0, 0.0, 0.0, 0.0]}
            },
            "sampledMetrics": {},
            "warmupIterations": 120,
            "repeatIterations": 8,
            "thermalThrottleSleepSeconds": 0
        },
        {
            "name": "startup",
            "params": {},
            "className": "com.example.nets.StartupBenchmark",
            "totalRunTimeNs": 15641048383,
            "metrics": {
                "timeToInitialDisplayMs": {
                    "minimum": 21.470916, "maximum": 197.771583, "median": 46.892417,
                    "runs": [197.771583, 21.470916, 46.892417]
                }
            },
            "sampledMetrics": {},
            "warmupIterations": 0,
            "repeatIterations": 3,
            "thermalThrottleSleepSeconds": 0
        }
    ]
}
"""

AI_HUB = """\
{
    "execution_summary": {
        "estimated_inference_time": 3652,
        "estimated_inference_peak_memory": 166711296,
        "first_load_time": 1374293,
        "first_load_peak_memory": 166711296,
        "warm_load_time": 277823,
        "warm_load_peak_memory": 163520512,
        "compile_time": 0,
        "compile_peak_memory": 0,
        "inference_memory_increase_range": [0, 2658496],
        "all_compile_times": [],
        "all_first_load_times": [1374293],
        "all_inference_times": [10003, 4205, 3652, 3701, 3688],
        "all_warm_load_times": [277823]
    },
    "execution_detail": [
        {"name": "model/truediv", "type": "MUL", "compute_unit": "CPU", "execution_time": 23},
        {"name": "model/transpose", "type": "TRANSPOSE", "compute_unit": "NPU", "execution_time": 127,
         "execution_cycles": 180315},
        {"name": "model/conv", "type": "CONV_2D", "compute_unit": "NPU", "execution_time": 40, "execution_cycles": 9000}
    ]
}
"""

BENCH_JSON = """\
[
  {
    "file": "nets/mobilenet_v1_1.0_224.tflite",
    "sha256": "5b0e6ab29ee6a3ad3b9a0ce0d10f5a1f7b4e1f5c0f5a8a0c4d6b1a2f3c4d5e6f",
    "runtime": "tflite",
    "runtime_version": "2.3.0",
    "precision": "fp32",
    "threads": 1,
    "cores": [7],
    "floor_ms": 24.011,
    "median_ms": 24.25,
    "ci_low_ms": 24.1,
    "ci_high_ms": 24.5,
    "p10_ms": 24.0,
    "p90_ms": 25.1,
    "first_ms": 26.2,
    "load_ms": 3.5,
    "peak_memory_mb": 41.5,
    "samples": 800,
    "processes": 10,
    "statistic": "median",
    "runner": "pocketnas",
    "delegate": "cpu",
    "coverage": [],
    "coverage_text": null,
    "void": ["thermal-status"],
    "tolerated": [],
    "device": {"id": "R58M12ABCDE", "model": "Google Pixel 6", "soc": "Google Tensor", "abi": "arm64-v8a",
               "os_version": "Android 14", "changed": []}
  },
  {
    "file": "nets/mv2.pte",
    "sha256": "0c4d6b1a2f3c4d5e6f5b0e6ab29ee6a3ad3b9a0ce0d10f5a1f7b4e1f5c0f5a8a",
    "runtime": "executorch",
    "precision": null,
    "threads": 4,
    "cores": [4, 5, 6, 7],
    "floor_ms": 230.5,
    "median_ms": 238.5,
    "ci_low_ms": 236.0,
    "ci_high_ms": 241.0,
    "p10_ms": null,
    "p90_ms": null,
    "first_ms": null,
    "load_ms": null,
    "peak_memory_mb": null,
    "samples": 20,
    "processes": 2,
    "statistic": "mean",
    "runner": "executor_runner",
    "delegate": "cpu",
    "coverage": [],
    "coverage_text": "the CPU runs the whole model",
    "void": [],
    "tolerated": ["battery-low"],
    "device": {"id": "local", "model": null, "soc": null, "os_version": null, "changed": []}
  }
]
"""

POWER_SUPPLY = """\
/sys/class/power_supply/battery/type:Battery
/sys/class/power_supply/battery/status:Discharging
/sys/class/power_supply/battery/charge_counter:2811000
/sys/class/power_supply/battery/voltage_now:3912000
/sys/class/power_supply/usb/type:USB
/sys/class/power_supply/usb/voltage_now:0
"""
