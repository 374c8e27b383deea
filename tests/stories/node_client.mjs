// The JavaScript client (@kubernetes/client-node): create, watch, patch, apply, exec, logs, informer, delete.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import * as k8s from '@kubernetes/client-node';

const namespace = process.env.NAMESPACE;
const image = process.env.IMAGE;
const command = ['sh', '-c', "trap 'exit 0' TERM; echo hello; while true; do sleep 1 & wait $!; done"];

const config = new k8s.KubeConfig();
config.loadFromFile(process.env.KUBECONFIG);
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);

async function until(what, condition) {
    for (let i = 0; i < 600; i++) {
        const found = await condition();
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`never happened: ${what}`);
}

const seen = [];
const watching = await new k8s.Watch(config).watch(
    `/api/v1/namespaces/${namespace}/pods`,
    { fieldSelector: 'metadata.name=node', allowWatchBookmarks: true },
    (type, pod) => type !== 'BOOKMARK' && seen.push([type, pod.status?.phase]),
    (error) => error && error.name !== 'AbortError' && console.error(error),
);

await core.createNamespacedPod({
    namespace,
    body: {
        metadata: { name: 'node', labels: { app: 'node' } },
        spec: { containers: [{ name: 'main', image, command }], terminationGracePeriodSeconds: 1 },
    },
});
await until('it runs', () => seen.some(([, phase]) => phase === 'Running'));
assert.deepEqual(seen[0], ['ADDED', 'Pending']);

const out = new PassThrough();
let said = '';
out.on('data', (chunk) => (said += chunk));
const status = await new Promise((resolve, reject) =>
    new k8s.Exec(config)
        .exec(namespace, 'node', 'main', ['sh', '-c', 'echo through exec; exit 4'], out, null, null, false, resolve)
        .catch(reject),
);
assert.equal(said, 'through exec\n');
assert.equal(status.details.causes[0].message, '4');
assert.equal(await core.readNamespacedPodLog({ name: 'node', namespace }), 'hello\n');

const patched = await core.patchNamespacedPod(
    { name: 'node', namespace, body: [{ op: 'add', path: '/metadata/labels/colour', value: 'blue' }] },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.JsonPatch),
);
assert.equal(patched.metadata.labels.colour, 'blue');

const settings = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'node', namespace }, data: { a: '1' } };
const applied = await objects.patch(settings, undefined, undefined, 'story', true, k8s.PatchStrategy.ServerSideApply);
assert.deepEqual(applied.data, { a: '1' });
settings.data = { a: '2' };
await assert.rejects(
    objects.patch(settings, undefined, undefined, 'other', false, k8s.PatchStrategy.ServerSideApply),
    (error) => error.code === 409,
);
const list = () => core.listNamespacedConfigMap({ namespace });
const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`, list);
const known = new Map();
informer.on('add', (each) => known.set(each.metadata.name, each.data));
informer.on('update', (each) => known.set(each.metadata.name, each.data));
informer.on('delete', (each) => known.delete(each.metadata.name));
informer.on('error', (error) => error.name !== 'AbortError' && console.error(error));
await informer.start();
await until('the informer has it', () => known.get('node')?.a === '1');
await objects.delete(settings);
await until('the informer forgets it', () => !known.has('node'));
await informer.stop();

const labels = { app: 'node-shop' };
await apps.createNamespacedDeployment({
    namespace,
    body: {
        metadata: { name: 'node-shop' },
        spec: {
            replicas: 1,
            selector: { matchLabels: labels },
            template: {
                metadata: { labels },
                spec: { containers: [{ name: 'main', image, command }], terminationGracePeriodSeconds: 1 },
            },
        },
    },
});
await until('the deployment is there', async () => {
    const found = await apps.readNamespacedDeployment({ name: 'node-shop', namespace });
    return found.status.readyReplicas === 1;
});
await apps.deleteNamespacedDeployment({ name: 'node-shop', namespace, propagationPolicy: 'Background' });
await core.deleteNamespacedPod({ name: 'node', namespace });
await until('it is gone', () => seen.some(([type]) => type === 'DELETED'));
watching.abort();
console.log('done');
process.exit(0);
