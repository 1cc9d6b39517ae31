"""run+fastq://ACC and run+submitted://ACC – the files of sequencing runs, from whichever public archive has them.

    run+fastq://ERR3857002          the reads of a run, or of all runs of a sample, an experiment, a study
    run+fastq@sra@filter_r1://…     from SRA and nowhere else, without second reads
    run+submitted://ERR3857002      what the authors sent in: BAM, CRAM, FASTQ under names of theirs

ENA is asked first (over FTP, then HTTPS), as it has FASTQ ready; then SRA, whose archives are made into FASTQ here;
then ENA by Aspera. A source that fails gives way to the next, and all are tried again with growing pauses; one that has
not got it, or that sends wrong bytes again and again, is tried no more. `@ftp`, `@sra`, `@aspera` choose among them;
with `@aria2`, what comes over FTP and HTTP comes over several connections.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from scitq.fetch import ena, faults, sra
from scitq.fetch.backend import Backend, Item
from scitq.fetch.errors import (
    HERE,
    Corrupt,
    FetchError,
    FetchErrorNoRepeat,
    NotFound,
    Unreachable,
    UnsupportedError,
)
from scitq.fetch.services import places_of
from scitq.fetch.staging import merge
from scitq.fetch.tools import bytes_in
from scitq.fetch.tries import Patience
from scitq.fetch.uri import URI, escaped
from scitq.fetch.watch import Cancellation

if TYPE_CHECKING:
    from scitq.fetch.moving import Mover

log = logging.getLogger(__name__)

NAMES: Final = {"ftp": "ENA", "sra": "SRA", "aspera": "ENA by Aspera"}
TRIES: Final = 3
"""How often a file is tried before the next source is."""
ONCE: Final = Patience(tries=1)
"""For listings, which are tried again by whoever asks for them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a URI of runs asks for."""

    uri: URI
    accession: str
    kind: ena.Kind
    sources: tuple[str, ...]
    only_first: bool
    options: str
    """For what comes over FTP and HTTP."""

    @classmethod
    def of(cls, uri: URI) -> Wanted:
        kind: ena.Kind = "fastq" if uri.protocol == "run+fastq" else "submitted"
        named = tuple(option for option in uri.options if option in NAMES)
        usual = ("ftp", "sra", "aspera") if kind == "fastq" else ("ftp", "aspera")
        aria2 = "@aria2" if "aria2" in uri.options else ""
        return cls(uri, uri.path.rstrip("/"), kind, named or usual, "filter_r1" in uri.options, aria2)

    def files(self, cancellation: Cancellation, patience: Patience = ONCE) -> list[ena.File]:
        found = ena.files(self.accession, self.kind, cancellation, patience)
        if not self.only_first:
            return found
        runs: dict[str, list[str]] = {}
        for file in found:
            runs.setdefault(file.run, []).append(file.name)
        first = {name for names in runs.values() for name in ena.first_reads(names)}
        return [file for file in found if file.name in first]


class Runs(Backend):
    def stat(self, uri: URI, cancellation: Cancellation, *, md5: bool = False) -> Item:
        files = self._listed(uri, cancellation)
        sizes = [file.size for file in files if file.size is not None]
        return Item(uri.as_folder, uri.name + "/", "dir", sum(sizes) if len(sizes) == len(files) else None)

    def list(
        self, uri: URI, cancellation: Cancellation, *, recursive: bool = True, md5: bool = False
    ) -> Iterator[Item]:
        """Each file under the address that it has at ENA."""
        for file in self._listed(uri, cancellation):
            yield Item(URI(places_of(file.ftp)[0]), file.name, "file", file.size, md5=file.md5)

    def brings(self, uri: URI) -> bool:
        return True

    def bring(self, uri: URI, folder: str, mover: Mover) -> None:
        _InTurn(Wanted.of(uri), folder, mover).bring()

    @staticmethod
    def _listed(uri: URI, cancellation: Cancellation) -> Sequence[ena.File]:
        wanted = Wanted.of(uri)
        if "ftp" not in wanted.sources and "aspera" not in wanted.sources:
            raise UnsupportedError(f"{uri.shown}: SRA cannot be asked what files there will be: leave @sra out of it")
        return wanted.files(cancellation)


class _InTurn:
    """The sources of one call, and what each failed of. Each has a folder, where what is whole waits for the rest."""

    def __init__(self, wanted: Wanted, folder: str, mover: Mover) -> None:
        self.wanted, self.folder, self.mover = wanted, folder, mover
        self.failed: dict[str, FetchError] = {}

    def bring(self) -> None:
        left, patience = list(self.wanted.sources), self.mover.patience
        rounds, here = 0, 0
        while True:
            for source in list(left):
                error = self._tried(source)
                if error is None:
                    return
                if not error.retryable or isinstance(error, Corrupt):
                    left.remove(source)
            if (now := bytes_in(self.folder)) > here:  # it advances, if slowly
                rounds, here = 0, now
            rounds += 1
            if not left or rounds >= patience.tries:
                raise self._error()
            self.mover.watch.cancellation.wait(patience.pause_s(rounds, self.failed[left[-1]]))

    def _tried(self, source: str) -> FetchError | None:
        place = os.path.join(self.folder, f".{source}")
        with faults.of_files(place):
            os.makedirs(place, exist_ok=True)
        few = replace(self.mover.patience, tries=min(TRIES, self.mover.patience.tries))
        try:
            with self.mover.watch.attempt() as watch:
                self._from(source, place, replace(self.mover, watch=watch, patience=few))
        except FetchError as error:
            self.mover.watch.check()
            if isinstance(error, HERE):
                raise
            self.failed[source] = error
            if len(self.wanted.sources) > 1:
                what = {"what": self.wanted.uri.shown, "error": f"{NAMES[source]}: {error}"}
                log.warning("a source has failed, and the next is tried", extra=what)
            return error
        merge(place, self.folder)
        for one in self.wanted.sources:
            shutil.rmtree(os.path.join(self.folder, f".{one}"), ignore_errors=True)
        return None

    def _from(self, source: str, place: str, mover: Mover) -> None:
        if source == "sra":
            wanted = self.wanted
            sra.bring(wanted.accession, place, mover, only_first=wanted.only_first, options=wanted.options)
            return
        files = self.wanted.files(mover.watch.cancellation, mover.patience)
        if source == "aspera":
            if without := [file for file in files if not file.aspera]:
                raise NotFound(f"ENA has no place of {without[0].name} for Aspera")
            self._files([(file, [f"fasp://{escaped(file.aspera)}"]) for file in files], place, mover)
        else:
            self._files([(file, places_of(file.ftp, self.wanted.options)) for file in files], place, mover)

    @staticmethod
    def _files(places: list[tuple[ena.File, list[str]]], folder: str, mover: Mover) -> None:
        """Those that are not here yet, each from the first of its places that has it."""
        from scitq.fetch.moving import Move

        moves = []
        for file, (first, *others) in places:
            target = os.path.join(folder, file.name)
            if os.path.exists(target):  # whole and verified, by an earlier try
                size = os.path.getsize(target)
                here = mover.watch.file(file.name, size)
                here.again(size)
                here.done()
            else:
                mirrors = tuple(map(URI, others))
                move = Move(URI(first), URI.of_file(target), file.name, file.size, md5=file.md5, mirrors=mirrors)
                moves.append(move)
        mover.files(moves)

    def _error(self) -> FetchError:
        errors = list(self.failed.values())
        if len(errors) == 1:
            return errors[0]
        told = "; ".join(f"{NAMES[source]}: {error}" for source, error in self.failed.items())
        said = f"{self.wanted.uri.shown} could be had from nowhere: {told}"
        if any(error.retryable and not isinstance(error, Corrupt) for error in errors):
            return Unreachable(said)
        if any(isinstance(error, Corrupt) for error in errors):
            return Corrupt(said)
        return (NotFound if all(isinstance(error, NotFound) for error in errors) else FetchErrorNoRepeat)(said)
