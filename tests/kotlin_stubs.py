"""A Kotlin compiler where there is one, and stand-ins for the Android classes that generated code calls.

The stand-ins have the signatures of `org.tensorflow.lite.Interpreter` (com.google.ai.edge.litert:litert 2.3), of
`org.pytorch.executorch` (executorch-android 1.5) and of the Android framework; their models keep what they are fed, so
that the code can be run on a desktop and looked at.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

STUBS = {
    "android.kt": """
package android.content
class Context(val assets: android.content.res.AssetManager, val filesDir: java.io.File)
""",
    "assets.kt": """
package android.content.res
import java.io.File
import java.io.FileInputStream
import java.io.InputStream
class AssetFileDescriptor(private val file: File) : java.io.Closeable {
    private val stream = FileInputStream(file)
    val fileDescriptor: java.io.FileDescriptor get() = stream.fd
    val startOffset: Long get() = 0
    val declaredLength: Long get() = file.length()
    override fun close() = stream.close()
}
class AssetManager(private val folder: File) {
    fun openFd(name: String) = AssetFileDescriptor(File(folder, name))
    fun open(name: String): InputStream = FileInputStream(File(folder, name))
}
""",
    "bitmap.kt": """
package android.graphics
import kotlin.math.floor
import kotlin.math.roundToInt
class Bitmap(val width: Int, val height: Int, private val colors: IntArray, private val config: Config) {
    enum class Config { ARGB_8888, HARDWARE }
    fun copy(config: Config, isMutable: Boolean): Bitmap? = Bitmap(width, height, colors, config)
    fun getPixels(into: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        check(config != Config.HARDWARE) { "pixel access is not supported on Config#HARDWARE bitmaps" }
        for (row in 0 until height) for (column in 0 until width)
            into[offset + row * stride + column] = colors[(y + row) * this.width + x + column]
    }
    private fun mixed(x: Double, y: Double): Int {
        val left = floor(x - 0.5).toInt(); val top = floor(y - 0.5).toInt()
        var color = 0
        for (shift in 0..24 step 8) {
            fun at(column: Int, row: Int) =
                (colors[row.coerceIn(0, height - 1) * width + column.coerceIn(0, width - 1)] shr shift) and 0xff
            fun line(row: Int) = at(left, row) + (x - 0.5 - left) * (at(left + 1, row) - at(left, row))
            color = color or ((line(top) + (y - 0.5 - top) * (line(top + 1) - line(top))).roundToInt() shl shift)
        }
        return color
    }
    companion object {
        @JvmStatic fun createBitmap(source: Bitmap, x: Int, y: Int, width: Int, height: Int): Bitmap {
            check(x >= 0 && y >= 0 && width > 0 && height > 0)
            check(x + width <= source.width && y + height <= source.height)
            val colors = IntArray(width * height) { source.colors[(y + it / width) * source.width + x + it % width] }
            return Bitmap(width, height, colors, source.config)
        }
        @JvmStatic fun createScaledBitmap(source: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap {
            check(filter && width > 0 && height > 0)
            return Bitmap(width, height, IntArray(width * height) {
                source.mixed((it % width + 0.5) * source.width / width, (it / width + 0.5) * source.height / height)
            }, source.config)
        }
    }
}
""",
    "interpreter.kt": """
package org.tensorflow.lite
import java.nio.ByteBuffer
import java.nio.ByteOrder
class Interpreter(model: ByteBuffer, options: Options) : AutoCloseable {
    class Options { fun setNumThreads(threads: Int): Options = apply { check(threads > 0) } }
    init { check(model.isDirect && model.remaining() > 0) }
    fun run(input: Any, output: Any) {
        input as ByteBuffer; output as ByteBuffer
        check(input.isDirect && output.isDirect && input.position() == 0)
        check(input.order() == ByteOrder.nativeOrder() && output.order() == ByteOrder.nativeOrder())
        seen.Seen.bytes = ByteArray(input.remaining()).also { input.get(it) }
        seen.Seen.answer(output.remaining() / 4).forEach { output.putFloat(it) }
    }
    override fun close() {}
}
""",
    "executorch.kt": """
package org.pytorch.executorch
import java.nio.ByteBuffer
import java.nio.ByteOrder
abstract class Tensor(private val shape: LongArray) {
    open val dataAsFloatArray: FloatArray get() = throw IllegalStateException()
    companion object {
        @JvmStatic fun fromBlob(data: FloatArray, shape: LongArray): Tensor {
            val buffer = ByteBuffer.allocate(4 * data.size).order(ByteOrder.nativeOrder())
            buffer.asFloatBuffer().put(data)
            return Fed(buffer.array(), data.size, shape)
        }
        @JvmStatic fun fromBlobUnsigned(data: ByteArray, shape: LongArray): Tensor = Fed(data, data.size, shape)
    }
}
class Fed(val bytes: ByteArray, size: Int, shape: LongArray) : Tensor(shape) {
    init { check(shape.fold(1L) { all, side -> all * side } == size.toLong()) }
}
class Floats(private val values: FloatArray) : Tensor(longArrayOf(1, values.size.toLong())) {
    override val dataAsFloatArray: FloatArray get() = values
}
class EValue private constructor(private val tensor: Tensor) {
    fun toTensor(): Tensor = tensor
    companion object { @JvmStatic fun from(tensor: Tensor) = EValue(tensor) }
}
open class Module private constructor() : java.io.Closeable {
    open fun forward(vararg inputs: EValue): Array<EValue> {
        seen.Seen.bytes = (inputs[0].toTensor() as Fed).bytes
        return arrayOf(EValue.from(Floats(seen.Seen.answer(seen.Seen.classes))))
    }
    open fun destroy() {}
    override fun close() = destroy()
    companion object {
        const val LOAD_MODE_FILE = 0
        const val LOAD_MODE_MMAP = 1
        @JvmStatic @JvmOverloads
        fun load(modelPath: String?, loadMode: Int = LOAD_MODE_FILE, numThreads: Int = 0): Module {
            check(java.io.File(modelPath!!).length() > 0)
            return Module()
        }
    }
}
""",
    "seen.kt": """
package seen
object Seen {
    var bytes = ByteArray(0)
    var classes = 0
    fun answer(size: Int) = FloatArray(size) { if (it == 4) 3f else it / 10f }
}
""",
}


class Kotlin:
    """A compiler that is installed: `kotlinc`, or the one in the Python package kotlin-jupyter-kernel."""

    def __init__(self, compiler: Sequence[str], library: str) -> None:
        self._compiler, self._library = compiler, library

    def compile(self, sources: Sequence[Path], out: Path) -> str:
        """What the compiler says, warnings for one; a source that does not compile fails the test."""
        command = [*self._compiler, "-no-reflect", "-d", str(out), *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, classes: Path, main: str, *words: str) -> str:
        """What a compiled program prints."""
        command = ["java", "-Dstdout.encoding=UTF-8", "-cp", f"{classes}:{self._library}", main, *words]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def find_kotlin() -> Kotlin:
    """Skips where there is no compiler."""
    if shutil.which("java") is None:
        pytest.skip("needs java")
    if (program := shutil.which("kotlinc")) is not None:
        library = Path(program).resolve().parent.parent / "lib" / "kotlin-stdlib.jar"
        return Kotlin([program], str(library))
    found = importlib.util.find_spec("run_kotlin_kernel")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs kotlinc, or: pip install 'pocketnas[kotlin]'")
    jars = Path(found.submodule_search_locations[0]) / "jars"
    (library,) = jars.glob("kotlin-stdlib-*.jar")
    main = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
    return Kotlin(["java", "-cp", f"{jars}/*", main, "-no-stdlib", "-cp", str(library)], str(library))
