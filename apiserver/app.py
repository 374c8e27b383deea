"""The application: parts put together, FastAPI for what is not a resource, the door around it all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import orjson
from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.builtin import BUILTIN
from api.errors import ApiError, MethodNotAllowed, NotFound
from api.registry import Registry
from apiserver import bootstrap, endpoints
from apiserver.admission import configuration
from apiserver.admission.certificates import CertificateRequests
from apiserver.admission.chain import Admission, Step
from apiserver.admission.default_class import DefaultIngressClass, DefaultStorageClass
from apiserver.admission.event_rate import EventRateLimit
from apiserver.admission.expressions import Expressions
from apiserver.admission.limit_ranger import LimitRanger
from apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from apiserver.admission.node_restriction import NodeRestriction
from apiserver.admission.node_taint import TaintNodesByCondition
from apiserver.admission.pod_security.step import PodSecurity
from apiserver.admission.policies.mutating import MutatingAdmissionPolicies
from apiserver.admission.policies.references import ParamReferences
from apiserver.admission.policies.validating import ValidatingAdmissionPolicies
from apiserver.admission.priority import Priority
from apiserver.admission.quota.plugin import ResourceQuota
from apiserver.admission.role_grants import RoleGrants
from apiserver.admission.runtime_class import RuntimeClass
from apiserver.admission.service_account import ServiceAccount
from apiserver.admission.storage import PersistentVolumeClaimResize, StorageObjectInUseProtection
from apiserver.admission.toleration_seconds import DefaultTolerationSeconds
from apiserver.admission.warnings import Warnings
from apiserver.admission.webhooks.calling import Parts
from apiserver.admission.webhooks.counts import WebhookCounts
from apiserver.admission.webhooks.mutating import MutatingWebhooks
from apiserver.admission.webhooks.validating import ValidatingWebhooks
from apiserver.aggregation.remote import Aggregation
from apiserver.allocation import Allocator
from apiserver.audit.trail import auditor
from apiserver.auth import configuration as authentication
from apiserver.auth import tokenfile
from apiserver.auth.accounts import Accounts
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.bootstrap_tokens import BootstrapTokens
from apiserver.auth.chain import Authenticator
from apiserver.auth.oidc import Oidc
from apiserver.context import Context
from apiserver.custom.controller import Controller
from apiserver.custom.conversion import Conversion
from apiserver.custom.definitions import Definitions
from apiserver.door import Door
from apiserver.flow.gate import Gate
from apiserver.flow.metrics import collect
from apiserver.kubelet import KubeletClient
from apiserver.metrics import Metrics
from apiserver.openapi.documents import Documents
from apiserver.options import Options
from apiserver.routes import discovery, flow, health, issuer, metrics, openapi, resources, version
from apiserver.storage.store import Store
from apiserver.streaming.proxy import Proxy
from apiserver.webhooks import Webhooks


def _now() -> datetime:
    return datetime.now(UTC)


def build_context(options: Options) -> Context:
    store = Store(
        BUILTIN,
        endpoints=options.etcd_servers,
        ca_file=options.etcd_cafile,
        cert_file=options.etcd_certfile,
        key_file=options.etcd_keyfile,
        encryption_file=options.encryption_provider_config,
        encryption_reload=options.encryption_provider_config_automatic_reload,
    )
    counts = Metrics(version.info())
    store.counts_into(counts.etcd_requests)
    counts.objects = store.objects
    proxy = Proxy()
    text = Path(options.token_auth_file).read_text() if options.token_auth_file else ""
    accounts = Accounts(
        store,
        key_files=options.account_key_files,
        signing_key_file=options.account_signing_key_file,
        issuers=options.account_issuers,
        audiences=options.api_audiences,
        now=_now,
    )
    ways = authentication.load(options)
    authorizer = Authorizer(options.authorization_modes)
    authorizer.follow(store)
    registry = Registry([*BUILTIN, *resources.UNSTORED_ROWS])
    definitions = Definitions(registry, store)
    gate = Gate(
        store,
        registry,
        seats=options.max_requests_inflight + options.max_mutating_requests_inflight,
        streams=options.max_streams_per_user,
        refused=counts.rejected,
    )
    gate.follow()
    counts.more.append(partial(collect, gate.control))
    webhooks = Webhooks(store, proxy)
    audit = auditor(options.audit)
    counts.more.append(audit.metrics)
    store.views.convert = Conversion(definitions, webhooks).convert
    webhook_counts = WebhookCounts()
    counts.more.append(webhook_counts.collect)
    parts = Parts(store, registry, authorizer, webhooks, webhook_counts)
    configured = configuration.load(options.admission_control_config_file)
    mutating_policies = MutatingAdmissionPolicies(store, registry, authorizer)
    validating_policies = ValidatingAdmissionPolicies(store, registry, authorizer)
    counts.more += [mutating_policies.counts.collect, validating_policies.counts.collect]
    pod_security = PodSecurity(store, configured.get("PodSecurity"))
    counts.more.append(pod_security.counts.collect)
    steps: list[Step] = [
        Warnings(),
        NamespaceLifecycle(store),
        LimitRanger(store),
        ServiceAccount(store),
        NodeRestriction(store),
        TaintNodesByCondition(),
        pod_security,
        Priority(store),
        DefaultTolerationSeconds(),
        EventRateLimit(configured.get("EventRateLimit"), enabled="EventRateLimit" in options.enable_admission_plugins),
        DefaultStorageClass(store),
        StorageObjectInUseProtection(),
        PersistentVolumeClaimResize(store),
        RuntimeClass(store),
        CertificateRequests(authorizer, _now),
        DefaultIngressClass(store),
        Expressions(),
        mutating_policies,
        MutatingWebhooks(parts, configured.get(MutatingWebhooks.name)),
        RoleGrants(authorizer),  # after all that may change a role
        ParamReferences(store, registry, authorizer),
        validating_policies,
        ValidatingWebhooks(parts, configured.get(ValidatingWebhooks.name)),
        ResourceQuota(store, _now, configured.get("ResourceQuota")),  # last: it charges what comes in
    ]
    admission = Admission(configuration.chosen(steps, options, configured))
    counts.more.append(admission.collect)
    return Context(
        options=options,
        registry=registry,
        definitions=definitions,
        store=store,
        now=_now,
        authenticator=Authenticator(
            tokenfile.parse(text),
            BootstrapTokens(store, _now) if options.bootstrap_tokens else None,
            accounts,
            [Oidc(provider, _now) for provider in ways.providers],
            anonymous=ways.anonymous,
        ),
        authorizer=authorizer,
        gate=gate,
        audit=audit,
        admission=admission,
        allocator=Allocator(store, options.service_range, options.node_ports),
        accounts=accounts,
        proxy=proxy,
        aggregation=Aggregation(
            store, proxy, cert_file=options.proxy_client_cert_file, key_file=options.proxy_client_key_file
        ),
        kubelet=KubeletClient(
            proxy,
            cert_file=options.kubelet_client_certificate,
            key_file=options.kubelet_client_key,
            ca_file=options.kubelet_certificate_authority,
        ),
        metrics=counts,
    )


def build(context: Context) -> Door:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await context.audit.start()
        await context.store.start()
        loops = (bootstrap.run(context), Controller(context).run(), context.authenticator.run())
        tasks = [asyncio.create_task(run) for run in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if context.bootstrapped.is_set():
                await endpoints.leave(context)
            await context.proxy.close()
            await context.store.stop()
            await context.audit.stop()

    app = FastAPI(title="Sampan", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None,
                  redirect_slashes=False)  # fmt: skip
    app.state.context = context
    app.state.catalog = discovery.Catalog(context.aggregation.remotes)
    app.state.documents = Documents(context.registry, resources.served_subresources)
    for routes in (health, version, metrics, discovery, openapi, issuer, flow):
        app.include_router(routes.router)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    return Door(context, app)


async def _api_error(_: HttpRequest, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return Response(orjson.dumps(error.status()), error.code, media_type="application/json")


async def _http_error(request: HttpRequest, error: Exception) -> Response:
    """FastAPI's own refusals, as a Status."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        return await _api_error(
            request, MethodNotAllowed("the server does not allow this method on the requested resource")
        )
    return await _api_error(request, NotFound("the server could not find the requested resource"))
