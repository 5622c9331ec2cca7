"""What to do about an error code, where the message's own hint cannot say it all."""

from __future__ import annotations

ADVICE: dict[str, str] = {
    "P101": "`plugins.require` of the config names it. Install the version that the config asks for, or take the line out.",
    "P102": (
        "The plugin's module raised while it was imported; the message names the distribution and the cause. `sere plugins "
        "--traceback` shows where. A run that does not name the component is not affected."
    ),
    "P103": (
        "The plugin's requirement on sere excludes this version. It was read from the plugin's metadata, before anything of it "
        "was imported."
    ),
    "P104": (
        "The entry point must lead to a `ComponentSpec` whose kind is that of the entry-point group and whose name is the last "
        "part of the entry point's name. Entry points are frozen at installation: after a change, install the plugin again."
    ),
    "P105": "`ComponentSpec.api` states the version of the contract that the component was written for. Update the older of the two.",
    "P106": "A hook may only implement the functions of `sere_registry.hookspecs`, with arguments of those names.",
    "P107": "It is named in `plugins.disable` of the config or in SERE_DISABLE, or SERE_NO_PLUGINS=1 leaves only what comes with sere.",
    "P108": "The component imports a package that sere itself does not need. The hint is the command that installs it.",
    "R201": "Names are exact, upper and lower case matter. `sere plugins` lists every component; each kind has names of its own.",
    "R202": "A short name works while only one installed component of the kind has it. Write the full name, e.g. `sere.tric`.",
    "R203": "No order of installation decides between two components of one full name: uninstall or disable one of the distributions.",
    "R204": "`sere.` is the namespace of the components that come with sere. A plugin announces its own under a prefix of its own.",
    "C301": "YAML would silently keep the last of the two. Remove one.",
    "C302": (
        "The hint names the keys that are known, or says what the value means. Values are read strictly: '5' in quotes is text,"
        " not a number."
    ),
    "C303": "Every component block names its component: `use: NAME`. Parameters stand below `params`.",
    "C304": (
        "A name is looked up relative to the file that names it (on the command line: to the working directory), then among the"
        " configs that come with sere."
    ),
    "C305": (
        "`--set a.b=VALUE` takes a path of keys with dots and a value in YAML; `--unset a.b` removes what a file has set. A "
        "list item is named by its number, from 0."
    ),
    "C306": "Only `${vars.x}` and `${env:X}` are replaced, and `${name}` and `${seed}` in output.dir. There are no expressions.",
    "C307": (
        "YAML 1.1 and 1.2 read such words differently (`no` is false or Norwegian, 010 is 8 or 10). Write true/false, a plain "
        "decimal number, or put text in quotes."
    ),
    "C308": "Ids are made up in `corpora` and `encoders` and referred to in `task` and `paths`. One that is used nowhere is a warning.",
    "C309": "The first line of a config states the version of its grammar: `sere: 1`.",
    "C310": (
        "A config is one YAML document of plain data: a mapping in UTF-8, without tags, merge keys and control characters, of "
        "bounded size and depth."
    ),
    "C311": "Each part is right by itself, but they do not fit together; the hint says what would.",
    "B401": "The component's constructor raised; the message names the distribution. `--traceback` shows where.",
    "B402": "The width that one component puts out is not the one that the other takes in.",
    "B403": "`sere_registry.protocols` says what a component of each kind must offer.",
}
