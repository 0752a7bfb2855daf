"""What a question says was done, as the verbs of event types: "who gave the keys out" says `create`, and `grant`.

A sentence embedding goes by its nouns, so that creating a thing is as near to a question as reading it; what was done
parts them (`ranking`). Here: everyday verbs in all their forms, with the words that make another verb of them. Not
here: words that become filters (`words`), which must be sure where these need only be likely.
"""

import re
from functools import lru_cache
from typing import Final

from audit_pipelines.intelligence.search.kinds import stem
from audit_pipelines.intelligence.search.lexicon import table
from audit_pipelines.intelligence.search.readings import verb_of
from audit_pipelines.intelligence.search.words import ACTIONS

# What people say, to the words of event types; of two words the second may stand further on: "gave the keys out".
_DEEDS: Final = """
login: log in, log into, log on, sign in, sign into, sign on, authenticate, get in, get into, mistype, mistyped,
    enter, lock out, type, try
logout: log out, log off, sign out, sign off, end
read: read, view, see, look at, look into, look through, look up, have look, open, access, inspect, examine, peek,
    peep, glance, snoop, pry, poke, visit, consult, check, browse, find out, learn, discover, disclose, study,
    retrieve
get: get, fetch, retrieve, read, look at, look up, find out
describe: describe, inspect, survey, look at, look around, find out, inventory, reconnoitre, reconnoiter, explore
list: list, enumerate, browse, inventory, find out, look around, reconnoitre, reconnoiter, explore, survey, discover
search: search, look up, look for, peek, look at, hunt, seek, find, find out, comb, dig, browse, go through, investigate
query: query, search, look up, interrogate, dig, select, run against, run on, investigate, pull
update: update, change, edit, modify, alter, amend, adjust, correct, fix, rewrite, tamper, swap, redirect, tune,
    revise, tweak, tinker, mess, mess with, reconfigure, replace, loosen, tighten, lift, relax, weaken, rename,
    reword, rework, touch up, switch, move, extend, shorten, lower, raise, promote, win, lose, widen, open up, cut
change: change, edit, modify, alter, amend, adjust, correct, choose, pick, replace, swap, rename
put: put, set, write, replace, place
create: create, add, enter, make, set up, open, issue, raise, file, report, write, generate, register, establish,
    onboard, hire, bring in, let into, take on, welcome, record, found, spin up, go live, hand out, give out, book,
    draw up, bill, charge, pay, send, compose, initiate, introduce, launch, release, ship, build, win, jot, note
    down, write down, complain, log
add: add, put in, let in, bring in, include, append
delete: delete, remove, wipe, erase, destroy, purge, get rid, throw away, throw out, bin, trash, shred, discard,
    drop, clean up, clear, vanish, disappear, lose, scrap, cover, eliminate, tidy up, dispose
remove: remove, take out, kick out, throw out, expel, drop, offboard
export: export, extract, dump, take out, take copy, take home, walk off, walk away, make off, pull out, exfiltrate,
    copy, leak, steal, leave, save, siphon, grab, smuggle, carry off, pull
import: import, load, bring in, ingest
download: download, save, pull down, copy, grab, take home, take off, take copy, fetch, get, collect, carry off
upload: upload, put, place, store, add, drop, deposit, copy to, copy into, transfer, put into, put on, copy onto
share: share, give, send, hand, hand over, leak, forward, disclose, expose, publish, pass on, pass to, let have, make
    public, distribute
grant: grant, give, hand, hand out, elevate, promote, raise, assign, award, make, become, get, gain, receive, obtain,
    allow, empower, entrust, confer, escalate
assign: assign, hand, hand over, pass, pass on, reroute, reassign, escalate, route, delegate, allocate
attach: attach, give, assign
revoke: revoke, take away, take back, withdraw, strip, remove, lose, demote, rescind, offboard, pull, cancel, deprive
approve: approve, sign off, release, authorise, authorize, wave through, confirm, pass, grant, clear, accept, let
    through, nod through, agree, countersign, endorse, okay, permit, green light, give go, give blessing
accept: accept, confirm, agree
reject: reject, turn down, refuse, decline, deny
request: request, ask, ask for, apply, want, hand in, take off, take, go on, be off, call in, book
reset: reset, replace, restore, forget, sort out, recover, lose, help with, unlock
enroll: enroll, enrol, register, set up, pair, add, link, activate
disable: disable, switch off, turn off, deactivate, silence, mute, block, shut, shut off, close, suspend, offboard,
    leave, quit, resign, blind, suppress, cover, terminate, snooze, retire, fire, dismiss, take out
enable: enable, switch on, turn on, activate, let back, reactivate, unmute, unblock
lock: lock, lock out, block, shut out
unlock: unlock, let back
rotate: rotate, renew, replace, roll, roll over, refresh, exchange, swap, cycle, reissue, rekey
run: run, execute, carry out, generate, produce, fail, break, go red, go green, pass, draw up, compile, build, test
invoke: invoke, call, run, execute, trigger
start: start, launch, boot, spin up, power on, power up, bring up, fire up, begin, open, get onto, get on, get into,
    jump, hop, enter, turn on, switch on, wake, tunnel
stop: stop, shut down, switch off, turn off, power off, power down, take down, halt, kill, bring down, go down,
    pause, end
terminate: terminate, destroy, shut down, kill, tear down
reboot: reboot, restart, power cycle, bounce
merge: merge, integrate, accept, contribute, go into, combine, land, bring into, take into
clone: clone, copy, take copy, check out, pull, pull down, download, take home, grab, steal, mirror, duplicate, take,
    take off
fetch: fetch, pull, download
push: push, commit, check in, contribute, submit, write, send, upload
publish: publish, release, ship, push, put out, issue, upload
rollback: roll back, revert, undo, back out, take back, go back, reverse, withdraw, return, pull, restore
deploy: deploy, roll out, ship, release, go live, put into, install
refresh: refresh, renew, extend, prolong
renew: renew, extend, prolong
connect: connect, dial, dial in, come in, work, tunnel, use, join, get in, link
disconnect: disconnect, hang up, drop, drop off, leave, cut
assume: assume, take on, switch, act, elevate, use, pick up, borrow, become, impersonate, slip into, break glass, put
    on
acknowledge: acknowledge, confirm, respond, answer, take care, wake, react, handle, pick up, ack, attend
comment: comment, reply, answer, remark, respond, write, write back, note, say, tell, leave
close: close, resolve, settle, finish, solve, complete, deal with, wrap up, sort out, finalise, finalize, shut, clear
review: review, check, look over, comment, inspect, critique, go over
backup: back up, backup, save, copy, safeguard
restore: restore, recover, bring back, get back
copy: copy, duplicate, take copy
write: write, store, save, put, place, overwrite, upload, drop
challenge: challenge, prompt, ask, bombard, flood, pester, spam, confirm, push
open: open, start, use, launch, propose, submit, suggest, contribute, raise, ask, offer
send: send, deliver, mail, post, dispatch
invite: invite, let in, bring in, ask to
transfer: transfer, move, hand over
move: move, shift, relocate
rename: rename, call
authorize: allow, permit, open, let in
allow: allow, permit, let
verify: verify, check
schedule: schedule, plan
cancel: cancel, call off
exec: exec, open, run, get into
impersonate: impersonate, act as, pose
print: print
refund: refund, pay back, reimburse, give back, return
call: call, ring, phone, telephone, dial
mail: mail, write, send
"""

# Forms that no ending makes.
_IRREGULAR: Final = """
take took taken taking; give gave given giving; get got gotten getting; put putting; let letting; set setting;
write wrote written writing; see saw seen; send sent; make made making; build built; pay paid; keep kept;
lose lost losing; find found; bring brought; throw threw thrown; draw drew drawn; steal stole stolen stealing;
break broke broken; go went gone goes; come came coming; leave left leaving; begin began begun beginning;
run ran running; choose chose chosen choosing; shut shutting; cut cutting; have had having; become became becoming;
spin spun spinning; hang hung; dig dug digging; seek sought; win won winning; tear tore torn; know knew known;
undo undid undone; say said; tell told; swap swapped swapping; drop dropped dropping; scrap scrapped scrapping;
log logged logging; stop stopped; bin binned binning; ship shipped shipping; hop hopped;
cancel cancelled canceled cancelling; rid ridding; enrol enrolled; commit committed committing;
submit submitted submitting; wrap wrapped; refer referred; plan planned; forget forgot forgotten forgetting;
overwrite overwrote overwritten; rewrite rewrote rewritten; withdraw withdrew withdrawn; deal dealt;
mess messed messing; spam spammed; ring rang rung; land landed; grab grabbed grabbing; peep peeped;
pass passed passes; okay okayed; tamper tampered; hire hired hiring
"""


def deeds(words: str) -> frozenset[str]:
    """Return what words say was done, as the verbs of event types: "who rewrote the rules" says `update`."""
    said: set[str] = set()
    tokens = _LETTERS.findall(_PLACES.sub(" ", words.lower()))
    for at, word in enumerate(tokens):
        meant = DEEDS.get(word, {})
        following = tokens[at + 1 : at + 1 + _APART]
        phrases = [meant[second] for second in following if second in meant]
        if phrases:
            said |= phrases[0]
            continue
        said |= meant.get("", frozenset())
        if (verb := stem(word)) in ACTIONS:
            said.add(verb)
    return frozenset(said)


@lru_cache(maxsize=16_384)
def deeds_of(event: str) -> frozenset[str]:
    """Return the verbs of a kind of event."""
    verb, _ = verb_of(event.split())
    return frozenset({verb, stem(verb)} if verb else ()) | {
        each for word in event.split() if (each := stem(word)) in ACTIONS
    }


def _forms(word: str) -> frozenset[str]:
    """Return the forms of a verb."""
    if word in _BY_VERB:
        return _BY_VERB[word]
    bare = word.removesuffix("e")
    done = f"{word[:-1]}ied" if word.endswith("y") and word[-2:-1] not in "aeiou" else f"{bare}ed"
    does = f"{word[:-1]}ies" if done.endswith("ied") else f"{word}es" if word.endswith(_HISSING) else f"{word}s"
    return frozenset({word, does, done, f"{bare}ing"})


def _by_words(text: str) -> dict[str, dict[str, frozenset[str]]]:
    """Return for each form of a verb what it says alone (under "") and with each second word."""
    found: dict[str, dict[str, set[str]]] = {}
    for verb, said in table(text).items():
        for each in said:
            word, _, second = each.partition(" ")
            for form in _forms(word):
                found.setdefault(form, {}).setdefault(second, set()).add(verb)
    return {form: {second: frozenset(verbs) for second, verbs in said.items()} for form, said in found.items()}


_HISSING: Final = ("s", "x", "ch", "sh", "z", "o")
_BY_VERB: Final = {
    forms.split()[0]: frozenset({*forms.split(), f"{forms.split()[0]}s", f"{forms.split()[0].removesuffix('e')}ing"})
    for forms in _IRREGULAR.replace("\n", " ").split(";")
}


_LETTERS: Final = re.compile(r"[a-z]+")
# A share, a log or a report may be where something lies, and nothing that was done.
_PLACES: Final = re.compile(
    r"\b(?:file|network|team|company|shared|the|our|a|on|to|into) (?:file |network |team )?"
    r"(?:shares?|logs?|reports?)\b"
    r"|\baccess[ -](?=keys?|rights?|tokens?|reviews?|controls?)|\bpull[ -]requests?\b|\bpush[ -]notifications?\b"
)
# Words between a verb and its second word.
_APART: Final = 4
DEEDS: Final = _by_words(_DEEDS)
