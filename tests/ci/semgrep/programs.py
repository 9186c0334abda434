import asyncio
import os
import subprocess

import pandas


def started(name: str, arguments: list[str]) -> None:
    # ruleid: shell
    subprocess.run(arguments, shell=True)
    # ruleid: shell
    os.system(name)
    # ruleid: shell
    subprocess.getoutput(name)
    # ruleid: command-of-one-text
    subprocess.run("qemu-system-arm --version")
    # ruleid: command-of-one-text
    subprocess.check_output(f"qemu {name}")
    # ruleid: command-of-one-text
    subprocess.Popen("qemu " + name)
    # ok: shell, command-of-one-text
    subprocess.run(["qemu-system-arm", name], shell=False)
    # ok: command-of-one-text
    subprocess.run(["qemu-system-arm"] + arguments)
    # ok: command-of-one-text
    subprocess.run(arguments, check=True)


async def started_later(name: str) -> None:
    # ruleid: shell
    await asyncio.create_subprocess_shell(name)
    # ok: shell
    await asyncio.create_subprocess_exec(name)


def computed(text: str, table: pandas.DataFrame) -> None:
    # ruleid: text-as-program
    eval(text)
    # ruleid: text-as-program
    exec(text)
    # ruleid: text-as-program
    table.eval(text)
    # ruleid: text-as-program
    table.query(text)
    # ok: text-as-program
    table.query("board == 'wasm'")
    # ok: text-as-program
    table[table["board"] == text]


def handed_over(password: str, auth_token: str, tokens: int, options) -> None:
    # ruleid: secret-as-argument
    subprocess.run(["mosquitto_pub", "-P", password])
    # ruleid: secret-as-argument
    subprocess.Popen(["jupyter", f"--token={auth_token}"])
    command = ["jupyter"]
    # ruleid: secret-as-argument
    command.append(f"--password={options.password}")
    # ok: secret-as-argument
    subprocess.run(["jupyter"], env={"JUPYTER_TOKEN": auth_token})
    # ok: secret-as-argument
    subprocess.run(["edgeprof", "capture", "--tokens", str(tokens)])
