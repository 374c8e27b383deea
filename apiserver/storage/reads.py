"""Reading: GET, LIST and WATCH over the cache, under the resourceVersion contract.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

from api.errors import Expired, InternalError, ServiceUnavailable, Timeout, not_found
from api.registry import Registry, Resource
from api.selectors import EVERYTHING, FieldSelector, Selector
from apiserver.storage import keys, paging, versions
from apiserver.storage.cache import Cache
from apiserver.storage.collection import Listener, Slice
from apiserver.storage.decode import decode
from apiserver.storage.etcd import Compacted, Etcd, FutureRevision, prefix_end
from apiserver.storage.selection import Rendered, Selection, effect, select
from apiserver.storage.stored import Page, Stored, WatchEvent, status_event
from apiserver.storage.turns import Turns
from apiserver.storage.versions import Freshness, Wanted
from apiserver.storage.views import Views, is_viewed
from apiserver.storage.watch import Watch
from apiserver.storage.watchers import Watcher

CATCH_UP_SECONDS = 3.0  # as long as upstream lets a reader wait for a revision
_NO_FIELDS = FieldSelector()
_HISTORIC_PAGE = 500
_VIEWED_PAGE = 500


class Reads:
    def __init__(self, registry: Registry, etcd: Etcd, cache: Cache) -> None:
        self.views = Views()
        self._registry = registry
        self._etcd = etcd
        self._cache = cache
        self._turns = Turns()

    def check_filled(self) -> None:
        """ServiceUnavailable while the cache is not filled."""
        if not self._cache.loaded.is_set():
            raise ServiceUnavailable("storage is (re)initializing", {"retryAfterSeconds": 1})

    def changed_at(self, res: Resource) -> int:
        """The revision at which objects of `res` last changed, as far as the cache has come: as long as it is the same,
        so is what was read of them from the cache. ServiceUnavailable."""
        self.check_filled()
        return self._cache.collection(keys.collection(res)).ring.last

    def listen(self, res: Resource, listener: Listener) -> None:
        """See Cache.listen."""
        self._cache.listen(keys.collection(res), listener)

    def peek(self, res: Resource, namespace: str, name: str) -> Stored | None:
        """What the cache has, in the version it lies in, at once."""
        return self._cache.collection(keys.collection(res)).objects.get(keys.local(namespace, name))

    def count(self, res: Resource, namespace: str = "") -> int:
        """How many there are in a namespace, or with "" in all, as far as the cache has come."""
        return self._cache.collection(keys.collection(res)).count(namespace)

    async def get(self, res: Resource, namespace: str, name: str, *, resource_version: str = "") -> Stored:
        """NotFound."""
        await self._reach(versions.for_get(resource_version))
        found = self._cache.collection(keys.collection(res)).objects.get(keys.local(namespace, name))
        if found is None:
            if self._etcd.unreadable:
                await self._check_readable(keys.path(res, namespace, name))
            raise not_found(res.group, res.plural, name)
        return await self.views.one(res, found) if is_viewed(res) else found

    async def list(
        self,
        res: Resource,
        namespace: str = "",  # "" = all
        *,
        labels: Selector = EVERYTHING,
        fields: FieldSelector = _NO_FIELDS,
        resource_version: str = "",
        match: str = "",
        limit: int = 0,
        continue_token: str = "",
        send_initial: bool | None = None,
    ) -> Page:
        wanted = versions.for_list(resource_version, match, limit, bool(continue_token), send_initial=send_initial)
        selection = select(namespace, labels, fields)
        start, continued = "", False
        if continue_token:
            position = paging.decode(continue_token)
            start, continued = position.start, position.revision > 0
            wanted = Wanted(Freshness.EXACT, position.revision) if continued else Wanted(Freshness.LATEST)
        await self._reach(wanted)
        if self._etcd.unreadable:
            await self._check_readable(keys.path(res, namespace, ""))
        collection = self._cache.collection(keys.collection(res))
        revision = self._cache.revision
        chosen, most = selection, limit
        if is_viewed(res) and selection.matches is not None:
            selection, limit = selection.any_fields(), 0  # what is selected shows in the converted objects
        if wanted.freshness is not Freshness.EXACT:
            part = collection.page(selection, start, limit)
        else:
            revision = wanted.revision
            undo = collection.ring.undo(revision)
            if undo is not None:
                part = collection.page(selection, start, limit, undo)
            else:
                try:
                    part = await self._historic(res, selection, start, limit, revision)
                except Compacted as error:
                    raise (paging.ContinueExpired(start) if continued else versions.list_too_old()) from error
        if is_viewed(res):
            part = await self._viewed(res, part, chosen, most)
        token = paging.encode(paging.Position(revision, part.next_start)) if part.next_start else ""
        return Page(part.items, revision, token, part.remaining)

    async def watch(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: Selector = EVERYTHING,
        fields: FieldSelector = _NO_FIELDS,
        resource_version: str = "",
        match: str = "",
        continued: bool = False,
        bookmarks: bool = False,
        send_initial: bool | None = None,
        timeout: float = 0,  # noqa: ASYNC109 - the client's timeoutSeconds: when the watch ends well
    ) -> Watch:
        """Malformed options raise. A resourceVersion that is too old comes as an ERROR event, as upstream does."""
        wanted, initial, initial_end = versions.for_watch(
            resource_version, match, send_initial, bookmarks, continued=continued
        )
        selection = select(namespace, labels, fields)
        if wanted.freshness is Freshness.EXACT:
            self.check_filled()
        else:
            await self._reach(wanted)
        # From here on nothing awaits, so no change slips between the state and the watcher.
        collection, now = self._cache.collection(keys.collection(res)), self._cache.revision
        viewed = is_viewed(res)
        offered = selection.any_fields() if viewed else selection
        watcher = Watcher(offered, max(now, wanted.revision), self._turns, unread=viewed)
        replayed: list[WatchEvent] = []
        if wanted.freshness is Freshness.EXACT:
            try:
                changes = [Rendered(change) for change in collection.ring.since(wanted.revision)]
                if viewed:
                    watcher.queue += changes
                    watcher.due = bool(changes)
                else:
                    replayed = [r.event(kind) for r in changes if (kind := effect(r.change, selection))]
            except Expired as error:
                replayed = [status_event(error.status())]
                watcher.end()
        if not watcher.ended:
            collection.watchers.add(watcher)
        part = collection.page(offered, "", 0) if initial else Slice([])
        if viewed:
            try:
                part = await self._viewed(res, part, selection, 0)
            except BaseException:
                collection.watchers.discard(watcher)
                raise
        return Watch(
            res,
            watcher,
            initial=part.items,
            initial_end=now if initial_end else 0,
            replayed=replayed,
            revision=lambda: self._cache.revision,
            bookmarks=bookmarks,
            timeout=timeout,
            view=(lambda changes: self.views.events(res, selection, changes)) if viewed else None,
            close=lambda: collection.watchers.discard(watcher),
        )

    def end_watches(self, res: Resource) -> None:
        """Now, in every version: what `res` means has changed, or it is served no more."""
        for watcher in self._cache.collection(keys.collection(res)).watchers:
            watcher.end()

    async def _viewed(self, res: Resource, part: Slice, selection: Selection, limit: int) -> Slice:
        """The items as `res` shows them. With conditions on their contents, `part` is everything, yet to be judged."""
        if selection.matches is None:
            return Slice(list(await self.views.of(res, part.items)), part.next_start, part.remaining)
        items: list[Stored] = []
        for at in range(0, len(part.items), _VIEWED_PAGE):
            for view in await self.views.of(res, part.items[at : at + _VIEWED_PAGE]):
                if not selection.has(view):
                    continue
                if limit and len(items) == limit:
                    return Slice(items, keys.local(view.namespace, view.name))
                items.append(view)
        return Slice(items)

    async def _check_readable(self, wanted: str) -> None:
        """InternalError when a value, of one key or under a prefix that ends with a slash, cannot be decrypted now: it
        is neither there nor not there."""
        under = wanted if wanted.endswith("/") else f"{wanted}\0"
        for path in [path for path in self._etcd.unreadable if path == wanted or path.startswith(under)]:
            there, _ = await self._etcd.get(path)
            if there is None:
                self._etcd.unreadable.pop(path, None)
            elif why := self._etcd.unreadable.get(path):
                raise InternalError(f'Internal error occurred: unable to transform key "{path}": {why}')

    async def _reach(self, wanted: Wanted) -> None:
        self.check_filled()
        if wanted.freshness is Freshness.LATEST:
            await self._cache.fresh(CATCH_UP_SECONDS)
        elif wanted.revision > self._cache.revision:
            try:
                await self._cache.wait(wanted.revision, CATCH_UP_SECONDS)
            except Timeout as error:
                raise versions.too_large(wanted.revision, self._cache.revision) from error

    async def _historic(self, res: Resource, selection: Selection, start: str, limit: int, revision: int) -> Slice:
        """A page as it was, from etcd's own history. Compacted."""
        base = f"{keys.REGISTRY}{keys.collection(res)}/"
        whole = f"{base}{selection.namespace}/" if selection.namespace else base
        at, end = max(whole, base + start), prefix_end(whole)
        items: list[Stored] = []
        while True:
            try:
                answer = await self._etcd.range(at, end, revision=revision, limit=_HISTORIC_PAGE)
            except FutureRevision as error:
                raise versions.too_large(revision, self._cache.revision) from error
            for index, kv in enumerate(answer.items):
                stored = decode(self._registry, kv.key.removeprefix(base), kv.value, kv.revision)
                if not selection.has(stored):
                    continue
                if limit and len(items) == limit:
                    remaining = answer.count - index if selection.matches is None else None
                    return Slice(items, kv.key.removeprefix(base), remaining)
                items.append(stored)
            if not answer.more:
                return Slice(items)
            at = paging.after(answer.items[-1].key)
