/**
 * Lists that come in pages.
 * Promise: the next page is asked for only when its first item is.
 */

/** @internal */
export async function* pagesOf<T>(read: (token: string) => Promise<{ items: T[]; next: string }>): AsyncGenerator<T> {
  let token = '';
  do {
    const page = await read(token);
    yield* page.items;
    token = page.next;
  } while (token !== '');
}
