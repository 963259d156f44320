"""What DRBD 8.4.11 of Linux 6.1 (Debian 12) printed, in two VMs; and one state of DRBD 9."""

HEAD = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: F73C670A7EC572DB9CF3E5B \n"

NOTHING = HEAD
NEW = HEAD + (
    " 0: cs:StandAlone ro:Secondary/Unknown ds:Inconsistent/DUnknown   r----s\n"
    "    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:131032\n"
)
SYNC_TARGET = HEAD + (
    " 0: cs:SyncTarget ro:Secondary/Primary ds:Inconsistent/UpToDate C r-----\n"
    "    ns:0 nr:99859 dw:101395 dr:0 al:8 bm:0 lo:0 pe:4 ua:0 ap:0 ep:1 wo:f oos:29656\n"
    "\t[==============>.....] sync'ed: 78.2% (29656/131032)K\n"
    "\tfinish: 0:00:08 speed: 3,604 (1,280) want: 102,400 K/sec\n"
)
SYNC_SOURCE = HEAD + (
    " 0: cs:SyncSource ro:Primary/Secondary ds:UpToDate/Inconsistent C r-----\n"
    "    ns:4406 nr:0 dw:143772 dr:5836 al:11 bm:0 lo:1 pe:0 ua:0 ap:0 ep:1 wo:f oos:125108\n"
    "\t[>...................] sync'ed:  6.3% (125108/131032)K\n"
    "\tfinish: 0:09:33 speed: 216 (268) K/sec\n"
)
PAUSED = HEAD + (
    " 0: cs:PausedSyncS ro:Primary/Secondary ds:UpToDate/Inconsistent C r--u--\n"
    "    ns:354 nr:0 dw:143772 dr:1784 al:11 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:129160\n"
)
IN_STEP = HEAD + (
    " 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n"
    "    ns:129515 nr:0 dw:143773 dr:130944 al:12 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n"
)
FROZEN = HEAD + (
    " 0: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C s-----\n"
    "    ns:129515 nr:0 dw:143773 dr:130944 al:12 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n"
)
ALONE = HEAD + (
    " 0: cs:WFConnection ro:Primary/Unknown ds:UpToDate/Outdated C r-----\n"
    "    ns:0 nr:129515 dw:131081 dr:1212 al:12 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:40\n"
)
FAILING = HEAD + (
    " 0: cs:WFConnection ro:Primary/Unknown ds:Failed/DUnknown C s-----\n"
    "    ns:129515 nr:0 dw:143773 dr:130944 al:12 bm:0 lo:1 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n"
)
TAKEN_AWAY = HEAD + (
    " 0: cs:WFConnection ro:Secondary/Unknown ds:Diskless/DUnknown C r-----\n"
    "    ns:129515 nr:0 dw:143773 dr:130944 al:12 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n"
)
REJOINING = HEAD + (
    " 0: cs:StandAlone ro:Secondary/Unknown ds:Consistent/DUnknown   r-----\n"
    "    ns:0 nr:0 dw:0 dr:0 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:16384\n"
)
UNCONFIGURED = HEAD + " 0: cs:Unconfigured\n" + IN_STEP.removeprefix(HEAD).replace(" 0:", " 1:")

GI_NEW = "0000000000000004:0000000000000000:0000000000000000:0000000000000000:0:0:0:0:0:0:0"
GI_FIRST = "BBE6423E39DE08E1:1D3AEFCB1511BE39:0000000000000000:0000000000000000:1:1:1:0:0:1:0"
GI_TARGET = "1D3CEFCB1511BE38:0000000000000000:0000000000000000:0000000000000000:0:0:0:1:0:0:0"
GI_OLD = "BBE6423E39DE08E0:0000000000000000:1D3CEFCB1511BE39:1D3BEFCB1511BE39:1:1:0:0:0:0:1"
"""The old active after a power cut."""
GI_TAKEN_OVER = "6FFB30DDFFA0B345:BBE6423E39DE08E0:1D3CEFCB1511BE38:1D3BEFCB1511BE39:1:1:1:0:0:1:0"
"""The node that took over from it."""

NINE = """[{"name": "standfast-data", "node-id": 0, "role": "Primary", "suspended": false,
 "devices": [{"volume": 0, "minor": 0, "disk-state": "UpToDate", "written": 10}],
 "connections": [{"peer-node-id": 1, "name": "b", "connection-state": "Connected",
  "peer-role": "Secondary", "peer_devices": [{"volume": 0, "replication-state": "SyncSource",
   "peer-disk-state": "Inconsistent", "out-of-sync": 512, "percent-in-sync": 87.25}]}]}]"""
"""Made by hand from drbdsetup-status(8) of drbd-utils 9.22."""
