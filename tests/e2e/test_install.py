"""make install: everything in its place, and usable from there with pkg-config alone."""

import json
import os
import re
import shutil
import subprocess
import unittest

from harness import ARTICLES, BUILD, ROOT, Case, environment, main

IS_INSTALLABLE = "SLANT_INSTALL:BOOL=ON" in (BUILD / "CMakeCache.txt").read_text()


def first_example(header):
    """The complete program at the top of a header, without the comment's stars."""
    text = (ROOT / "include" / header).read_text()
    body = text[text.index("#include <slant.h>") : text.index("*/")]
    lines = [re.sub(r"^ \*( {5})?", "", line) for line in body.splitlines()]
    end = next(i for i, line in enumerate(lines) if line == "}")
    return "\n".join(lines[: end + 1]) + "\n"


@unittest.skipUnless(IS_INSTALLABLE, "this build makes nothing that is installed")
class Install(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prefix = cls.shared / "prefix"
        subprocess.run(
            ["cmake", "--install", str(BUILD), "--prefix", str(cls.prefix)],
            check=True,
            capture_output=True,
        )
        cls.lib = next(cls.prefix.glob("lib*/**/libslant.so")).parent
        cls.env = environment(
            PKG_CONFIG_PATH=str(cls.lib / "pkgconfig"), LD_LIBRARY_PATH=str(cls.lib)
        )

    def pkg_config(self, *arguments):
        return subprocess.run(
            ["pkg-config", *arguments, "slant"],
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()

    def exported(self, *arguments):
        text = subprocess.run(
            ["nm", "--defined-only", *map(str, arguments)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        names = {
            line.split()[2]
            for line in text.splitlines()
            if len(line.split()) == 3 and line.split()[1].isupper()
        }
        return names

    def test_everything_is_in_its_place(self):
        for path in (
            "bin/slant",
            "include/slant.h",
            "include/slant_data.h",
            "share/man/man1/slant.1",
            "share/slant/models/news-bias/base.slant",
        ):
            self.assertTrue((self.prefix / path).is_file(), path)
        for name in ("libslant.so", "libslant.a", "pkgconfig/slant.pc"):
            self.assertTrue((self.lib / name).is_file(), name)

    def test_libraries_offer_the_public_names_alone(self):
        header = "".join(path.read_text() for path in (ROOT / "include").glob("*.h"))
        declared = set(re.findall(r"\b(slant_\w+)\(", header))
        shared = self.exported("-D", self.lib / "libslant.so")
        self.assertEqual({name for name in shared if not name.startswith("slant_")}, set())
        self.assertEqual(declared - shared, set())
        static = self.exported("-g", self.lib / "libslant.a")
        self.assertEqual({name for name in static if not name.startswith("slant_")}, set())
        self.assertEqual(declared - static, set())

    def test_the_headers_example_compiles_and_answers(self):
        source = self.write("example.c", first_example("slant.h"))
        for name, extra in (("shared", []), ("static", ["--static"])):
            program = self.folder / name
            flags = self.pkg_config("--cflags", "--libs", *extra)
            if extra:
                flags = [
                    str(self.lib / "libslant.a") if flag == "-lslant" else flag for flag in flags
                ]
            subprocess.run(
                [
                    "gcc",
                    "-std=c17",
                    "-Wall",
                    "-Wextra",
                    "-Werror",
                    str(source),
                    "-o",
                    str(program),
                    *flags,
                ],
                check=True,
                env=self.env,
            )
            env = dict(self.env, SLANT_MODEL=str(self.prefix / "share/slant/models/news-bias"))
            done = subprocess.run([program], capture_output=True, env=env, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(
                [line.split()[0] for line in done.stdout.splitlines()], ["Left", "Center", "Right"]
            )

    def test_headers_compile_as_cpp(self):
        if shutil.which("g++") is None:
            self.skipTest("no g++")
        for header in (ROOT / "include").glob("*.h"):
            source = self.write("a.cc", f"#include <{header.name}>\nint main() {{ return 0; }}\n")
            subprocess.run(
                [
                    "g++",
                    "-fsyntax-only",
                    "-Wall",
                    "-Werror",
                    *self.pkg_config("--cflags"),
                    str(source),
                ],
                check=True,
                env=self.env,
            )

    def test_moved_installation_finds_its_model(self):
        moved = self.folder / "moved"
        shutil.copytree(self.prefix, moved, symlinks=True)
        done = subprocess.run(
            [moved / "bin/slant", "classify", "--text", ARTICLES[0]],
            capture_output=True,
            env=environment(),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            {pair["label"] for pair in json.loads(done.stdout)[0]}, {"Left", "Center", "Right"}
        )

    def test_manual_page_names_every_option(self):
        page = (self.prefix / "share/man/man1/slant.1").read_text().replace("\\-", "-")
        for command in ("classify", "tokenize", "import", "inspect", "train", "merge"):
            text = subprocess.run(
                [self.prefix / "bin/slant", command, "--help"],
                check=True,
                capture_output=True,
                text=True,
                env=environment(),
            ).stdout
            for option in re.findall(r"^ +(?:-\w, )?(--[\w-]+)", text, re.MULTILINE):
                self.assertIn(option, page, f"{command} {option}")


if __name__ == "__main__":
    main()
